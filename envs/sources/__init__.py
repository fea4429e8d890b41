"""Where bars come from over a network: an exchange's API and the exchanges' public archives."""
