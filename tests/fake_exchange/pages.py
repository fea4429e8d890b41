"""Answers of venues that turn clients away, limit them, or rest: the pages that they really send.

After CloudFront's page for countries that a venue does not serve, Binance's own sentence for restricted
locations, and the pages of its firewall and of maintenance.
"""

from __future__ import annotations

from .faults import Fault


def _page(status: int, body: str, retry_after_s: float | None = None) -> Fault:
    return Fault(kind="status", status=status, body=body, retry_after_s=retry_after_s)


FORBIDDEN = _page(
    403,
    '<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 4.01 Transitional//EN">\n<HTML><HEAD>'
    "<TITLE>ERROR: The request could not be satisfied</TITLE></HEAD><BODY>\n<H1>403 ERROR</H1>\n"
    "<H2>The request could not be satisfied.</H2><HR noshade>The Amazon CloudFront distribution is "
    "configured to block access from your country.<BR clear='all'></BODY></HTML>",
)
RESTRICTED = _page(451, "<html><head><title>451</title></head><body>Unavailable</body></html>")
RESTRICTED_JSON = _page(
    451,
    '{"code":0,"msg":"Service unavailable from a restricted location according to \'b. Eligibility\'."}',
)
LIMITED_PAGE = _page(429, "<html><body><h1>429 Too Many Requests</h1></body></html>", 7.0)
BANNED_PAGE = _page(418, "<html><body><h1>418 I'm a teapot</h1></body></html>", 9.0)
MAINTENANCE = _page(503, "<html><body><h1>503 Service Temporarily Unavailable</h1></body></html>")
MAINTENANCE_UNTIL = _page(503, "<html><body>We are upgrading our systems.</body></html>", 12.0)
