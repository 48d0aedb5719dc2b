"""Ask who answers at an address before Ray does, and present the cluster's token where it wants one."""

import os
import secrets
import stat
from pathlib import Path

import grpc  # type: ignore[import-untyped]  # TensorBoard needs it too
from ray._raylet import Config  # type: ignore[attr-defined]

from tuning.errors import ClusterError

ANSWER_SECONDS = 10.0  # a head has this long to answer
CLUSTER_ID = "/ray.rpc.NodeInfoGcsService/GetClusterId"  # the first thing that every client asks a head
MODE = "RAY_AUTH_MODE"


def token_file() -> Path:
    """The file in which Ray looks for the cluster's token."""
    return Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")


def keep_token_private() -> None:
    """Make the token file readable by its owner alone: Ray's own is open to all.

    Whoever reads the token can run code as this user.
    """
    path = token_file()
    if path.exists() and path.stat().st_uid == os.getuid() and stat.S_IMODE(path.stat().st_mode) & 0o077:
        path.chmod(0o600)


def make_private_token() -> None:
    """Before Ray starts a cluster here: write the token that Ray would write otherwise, open to all."""
    path = token_file()
    if os.environ.get("RAY_AUTH_TOKEN") or os.environ.get(MODE, "token") != "token":
        return
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
        try:
            os.link(beside, path)  # unlike a rename this leaves the token of a sweep that was faster
        except FileExistsError:
            pass
        finally:
            beside.unlink()


def present_token(address: str) -> None:
    """Set RAY_AUTH_MODE as the head at host:port wants it. Raises ClusterError where Ray would try for minutes.

    One call without a token and, if the head wants one, one with ours tell apart the ways to fail.
    """
    if os.environ.get("RAY_USE_TLS", "0") != "0":
        return  # Ray's own certificates are needed to ask
    refusal = _refusal(address, None)
    if refusal is None:
        return
    token = os.environ.get("RAY_AUTH_TOKEN") or _token_in_file()
    wants = f"--address {address}: the cluster asks for a token"
    if not token:
        raise ClusterError(f"{wants}, and there is none in {token_file()}; copy that file from the cluster's head")
    if os.environ.get(MODE, "token") != "token":
        raise ClusterError(f"{wants}, and {MODE} is {os.environ[MODE]}; set it to token, or not at all")
    if _refusal(address, token) is not None:
        ours = "RAY_AUTH_TOKEN" if os.environ.get("RAY_AUTH_TOKEN") else str(token_file())
        raise ClusterError(f"{wants}, and the one in {ours} is another; copy ~/.ray/auth_token from the cluster's head")
    os.environ[MODE] = "token"
    Config.initialize("")  # Ray has read its environment already, when it was imported


def _refusal(address: str, token: str | None) -> str | None:
    """Why the head does not let us in; None if it does. Raises ClusterError where no head answers."""
    metadata = [("authorization", f"Bearer {token}")] if token else []
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            channel.unary_unary(CLUSTER_ID)(b"", timeout=ANSWER_SECONDS, metadata=metadata)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.UNAUTHENTICATED:
                return str(error.details())
            reason = str(error.details())
            if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED or "parsing HTTP/2" in reason:
                reason = "what answers is something else; the port of a head is 6379 unless told"
            raise no_cluster(address, reason) from None
    return None


def no_cluster(address: str, reason: str) -> ClusterError:
    """What to say when no head of Ray answers at an address."""
    return ClusterError(
        f"--address {address}: no Ray cluster answers there ({' '.join(reason.split())[:200]}); start one with "
        "'ray start --head' or 'ray up cluster.yaml'"
    )


def _token_in_file() -> str:
    try:
        return token_file().read_text().strip()
    except OSError:
        return ""
