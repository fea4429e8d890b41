"""What `tft.py` measures: this project's Temporal Fusion Transformer, and other libraries' beside it.

Other libraries' networks run in worker processes (see `peers.processes`). The module of a peer imports
nothing of this project and may import only what that peer installs.
"""
