"""The live loop: closed bars of an exchange, decisions, and a paper account by the environment's rules."""
