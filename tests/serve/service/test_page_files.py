"""The page's files over plain HTTP: what is served, with which headers, and what is not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files

import pytest
from fastapi.testclient import TestClient

from quantum_trader.serve.service.page import PAGE_POLICY, STATIC_FILES, static_file

from .page_service import Answers, small_service


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(small_service(Answers())) as made:
        yield made


ADDRESSES = ("/", "/docs", *(f"/static/{name}" for name in STATIC_FILES))


def test_the_listed_files_are_those_of_the_package() -> None:
    """A file that is not listed would be missing from the page, a listed one that is gone a fault."""
    folder = files("quantum_trader.serve.service").joinpath("static")
    assert {item.name for item in folder.iterdir()} == {*STATIC_FILES, "index.html"}


@pytest.mark.parametrize("address", ADDRESSES)
def test_every_file_is_fenced_in(client: TestClient, address: str) -> None:
    """Page, documentation and each file come with the policy that keeps scripts and requests at home."""
    answer = client.get(address)
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"] == PAGE_POLICY
    assert "unsafe" not in PAGE_POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(("name", "media_type"), STATIC_FILES.items())
def test_files_have_their_type(client: TestClient, name: str, media_type: str) -> None:
    """With nosniff a script of another type would not run."""
    assert client.get(f"/static/{name}").headers["content-type"] == media_type


def test_the_page_asks_for_nothing_elsewhere() -> None:
    """No file names another host, and the page has neither inline script nor inline style."""
    page = static_file("index.html").body.decode()
    assert not re.findall(r"<script(?![^>]*\bsrc=)[^>]*>|<style|\son\w+=|\sstyle=", page)
    for name in ("index.html", *STATIC_FILES):
        addresses = re.findall(r"https?://[^\s\"'`)]+", static_file(name).body.decode())
        assert set(addresses) <= {"http://www.w3.org/2000/svg"}, name


def test_scripts_never_make_markup_of_text() -> None:
    """None of the ways in which a text could become markup or code is used."""
    banned = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|DOMParser|srcdoc"
    for name in STATIC_FILES:
        assert not re.findall(banned, static_file(name).body.decode()), name


def test_everything_the_page_refers_to_is_served() -> None:
    """A script that is not listed would fail only in the browser."""
    texts = {name: static_file(name).body.decode() for name in ("index.html", *STATIC_FILES)}
    wanted = set(re.findall(r'(?:src|href)="static/([^"]+)"', texts["index.html"]))
    for text in texts.values():
        wanted |= set(re.findall(r'from "\./([^"]+)"', text))
    assert wanted == set(STATIC_FILES) - {"docs.css"}


def test_an_unchanged_file_is_not_sent_again(client: TestClient) -> None:
    """Browsers revalidate by entity tag: 304 without a body, 200 for any other tag."""
    tag = client.get("/static/app.js").headers["etag"]
    again = client.get("/static/app.js", headers={"If-None-Match": f'"else", W/{tag}'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["content-security-policy"] == PAGE_POLICY
    assert client.get("/static/app.js", headers={"If-None-Match": '"else"'}).status_code == 200


def test_head_answers_without_a_body(client: TestClient) -> None:
    """Monitoring tools ask with HEAD."""
    answer = client.head("/")
    assert answer.status_code == 200
    assert int(answer.headers["content-length"]) == len(static_file("index.html").body)


@pytest.mark.parametrize(
    "name",
    [
        "../page.py",
        "..%2fpage.py",
        "%2e%2e/page.py",
        "..%5cpage.py",
        "%2fetc%2fpasswd",
        "app.js%00",
        "index.html",
        "APP.JS",
        "app.js/",
        "",
        "x" * 5_000,
        "<script>",
    ],
)
def test_no_other_name_leads_to_a_file(client: TestClient, name: str) -> None:
    """Only listed names exist: nothing outside the folder and no other spelling is served."""
    answer = client.get(f"/static/{name}", follow_redirects=False)
    assert answer.status_code in (307, 404)
    assert b"APIRouter" not in answer.content
    assert len(answer.content) < 500


def test_writing_methods_are_refused(client: TestClient) -> None:
    """The page is read only."""
    assert client.post("/").status_code == 405
    assert client.put("/static/app.js").status_code == 405
