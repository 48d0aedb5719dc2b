"""A trial's folder that is no folder."""


class InMemory:
    """Files by name; `written`: every name in the order of writing."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}
        self.written: list[str] = []

    def read(self, name: str) -> bytes | None:
        return self.content.get(name)

    def write(self, name: str, content: bytes) -> None:
        self.content[name] = content
        self.written.append(name)
