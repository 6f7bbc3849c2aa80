"""The state of the training code: revision, remote without credentials, and everything that differs."""

from __future__ import annotations

import subprocess

import pytest

from modelimg.oci.values import Digest
from modelimg.pack.vcs import code_state


def git(folder, *arguments, date="2024-05-06T07:08:09+02:00"):
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    environment = {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date, "PATH": "/usr/bin:/bin", "HOME": str(folder)}
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, env=environment, check=True, capture_output=True)
    return done.stdout.decode().strip()


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / "train.py").write_text("x = 1\n")
    (folder / ".gitignore").write_text("ignored/\n")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    return folder


def state(repository, **options):
    return code_state(repository, without=repository / "dist" / "model", environ=options.pop("environ", {}))


def test_a_clean_tree_is_its_revision(repository):
    found = state(repository)
    assert found.to_dict() == {
        "revision": git(repository, "rev-parse", "HEAD"),
        "dirty": False,
        "committed": "2024-05-06T07:08:09+02:00",
    }
    assert found.patch == b""


def test_a_changed_file_is_in_the_patch_which_recreates_it(repository, tmp_path):
    (repository / "train.py").write_text("x = 2\n")
    (repository / "new.bin").write_bytes(bytes(range(256)))
    git(repository, "add", "new.bin")
    found = state(repository)
    assert found.dirty
    assert found.to_dict()["patch_sha256"] == Digest.of(found.patch).hex
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(repository), str(clone))
    (tmp_path / "code.patch").write_bytes(found.patch)
    git(clone, "apply", str(tmp_path / "code.patch"))
    assert (clone / "train.py").read_text() == "x = 2\n"
    assert (clone / "new.bin").read_bytes() == bytes(range(256))


def test_untracked_files_are_listed_and_make_the_tree_dirty(repository):
    (repository / "zwei ä.py").write_text("")
    (repository / "ignored").mkdir()
    (repository / "ignored" / "x.py").write_text("")
    found = state(repository)
    assert found.dirty
    assert found.to_dict()["untracked"] == ["zwei ä.py"]


def test_the_package_itself_is_no_change_of_the_code(repository):
    (repository / "dist" / "model").mkdir(parents=True)
    (repository / "dist" / "model" / "modelimg.json").write_text("{}")
    (repository / "dist" / ".model.abc.tmp" / "new").mkdir(parents=True)
    (repository / "dist" / ".model.abc.tmp" / "new" / "model.pkl").write_text("{}")
    assert state(repository).dirty is False


def test_a_folder_below_the_root_gives_the_whole_repository(repository):
    (repository / "sub").mkdir()
    (repository / "train.py").write_text("x = 3\n")
    assert b"x = 3" in state(repository / "sub").patch


@pytest.mark.parametrize(
    ("remote", "source"),
    [
        ("https://user:token@git.example.org/a/b.git", "https://git.example.org/a/b.git"),
        ("https://token@git.example.org/a/b.git", "https://git.example.org/a/b.git"),
        ("git@git.example.org:a/b.git", "git@git.example.org:a/b.git"),
        ("https://git.example.org/a/b", "https://git.example.org/a/b"),
        ("/home/me/b.git", None),
        ("file:///home/me/b.git", None),
        ("../b.git", None),
    ],
)
def test_the_remote_is_told_without_credentials_and_never_as_a_path(repository, remote, source):
    git(repository, "remote", "add", "origin", remote)
    assert state(repository).to_dict().get("source") == source


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, {}),
        (
            {"GITHUB_SHA": "abc", "GITHUB_REPOSITORY": "me/it", "GITHUB_SERVER_URL": "https://github.example.org"},
            {"revision": "abc", "source": "https://github.example.org/me/it"},
        ),
        (
            {"GITHUB_SHA": "abc", "GITHUB_REPOSITORY": "me/it"},
            {"revision": "abc", "source": "https://github.com/me/it"},
        ),
        (
            {"CI_COMMIT_SHA": "def", "CI_PROJECT_URL": "https://u:p@gitlab.example.org/x"},
            {"revision": "def", "source": "https://gitlab.example.org/x"},
        ),
    ],
)
def test_without_a_repository_the_ci_system_says_what_it_knows(tmp_path, environ, expected):
    assert code_state(tmp_path, without=tmp_path / "out", environ=environ).to_dict() == expected


def test_a_repository_without_a_commit_has_no_revision(tmp_path):
    git(tmp_path, "init", "-q")
    assert code_state(tmp_path, without=tmp_path / "out", environ={}).to_dict() == {}


def test_a_repository_wins_over_the_ci_systems_words(repository):
    assert state(repository, environ={"GITHUB_SHA": "abc"}).revision == git(repository, "rev-parse", "HEAD")
