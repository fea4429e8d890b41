"""What `env.py` measures beside the project's own environments, and how it measures fairly.

Other people's environments run in worker processes, because their requirements may exclude ours. The module
of a peer imports nothing of this project and may import only what that peer installs.
"""
