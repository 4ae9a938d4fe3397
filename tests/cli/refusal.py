"""What the command line promises of every refusal."""


def refused(result: tuple[int, str, str], status: int, *words: str) -> None:
    """This exit status, one line on standard error with these words, nothing on standard output."""
    code, output, error = result
    assert code == status, error
    assert output == ""
    (line,) = error.strip().splitlines()
    assert line.startswith("inpaintkit: ")
    for word in words:
        assert word in line
