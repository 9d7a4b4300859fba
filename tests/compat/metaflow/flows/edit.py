"""Not a flow: changes all steps of ``edited.py``."""

from pathlib import Path

path = Path("edited.py")
path.write_text(path.read_text().replace("first", "second"))
