"""The Hub of Hugging Face: where data sets are published; the only module that imports huggingface_hub.

HF_ENDPOINT names another server of the same protocol. The token is HF_TOKEN's or that of `hf auth login`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import HubError, UserError
from pipeline.printable import line
from pipeline.results.folders import MARK
from pipeline.web import environment, hugging_face

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

_KIND: Any = {"repo_type": "dataset"}
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9]|[-._](?![-.]))*(?<![-.])"  # as the Hub allows
_SHARD = re.compile(r"[a-z_]+/train-\d{5}-of-\d{5}\.parquet")
_HARMLESS = {".gitattributes", "README.md"}  # what a repository may hold that is not ours
_AGAIN = "run the same command again: it completes what is missing"


@dataclass(frozen=True)
class Published:
    """Where a data set is, and the files that were sent and deleted: none where nothing differed."""

    address: str
    sent: tuple[str, ...]
    deleted: tuple[str, ...]
    public: bool

    @property
    def changed(self) -> bool:
        """Whether anything was sent or deleted."""
        return bool(self.sent or self.deleted)


def front_matter(facts: dict[str, Any]) -> str:
    """The YAML that heads a card."""
    from huggingface_hub import DatasetCardData

    return DatasetCardData(**facts).to_yaml()


def check(repo: str) -> None:
    """Raise UserError where `repo` is not a user/name."""
    if not re.fullmatch(f"{_NAME}/{_NAME}", repo) or len(repo) > 96 or repo.endswith(".git"):
        raise UserError(
            f"REPO is {repo!r}; give user/name, each of letters, digits and - . _, as REPO=ada/neurons"
        )


def sign_in(repo: str) -> None:
    """Raise UserError where the token is missing, is refused, or may not write to `repo`'s owner."""
    import huggingface_hub

    token = huggingface_hub.get_token()
    if not token:
        raise UserError(
            "there is no token for the Hub; make one with the right to write at "
            "https://huggingface.co/settings/tokens and put it into HF_TOKEN, or use `hf auth login`; "
            "DRY_RUN=1 (--dry-run) needs none"
        )
    if not token.isascii():
        raise UserError("HF_TOKEN holds characters that no token has; copy it again")
    owner = repo.partition("/")[0]
    with _explained(repo):
        me = _api().whoami()
    accounts = [me.get("name"), *(each.get("name") for each in me.get("orgs") or ())]
    role = ((me.get("auth") or {}).get("accessToken") or {}).get("role")
    if owner not in accounts:
        if not _exists(owner):
            raise UserError(f"REPO: the Hub has no user or organisation {owner!r}; {_yours(accounts)}")
        raise UserError(f"REPO: this token may not write to {owner!r}; {_yours(accounts)}")
    if role == "read":
        raise UserError(
            "the token may only read; make one with the right to write at "
            "https://huggingface.co/settings/tokens and put it into HF_TOKEN"
        )


def publish(folder: Path, names: Sequence[str], tag: str, repo: str, *, public: bool) -> Published:
    """Make the data set `repo` of the Hub hold these files of a folder, in one commit, and tag it.

    Files that are there already are not sent again, and where nothing differs there is no commit. Private
    unless `public`. Raises UserError where the repository is public without `public`, or holds something
    else; HubError where the Hub cannot be reached or refuses.
    """
    api = _api()
    with _explained(repo):
        there, head, is_public = _state(api, repo, public=public)
        changes = list(_changes(folder, names, there))
        if changes:
            title = f"feature-neurons {tag}"
            head = api.create_commit(repo, changes, commit_message=title, parent_commit=head, **_KIND).oid
        api.create_tag(repo, tag=tag, revision=head, exist_ok=True, **_KIND)
        if public and not is_public:
            api.update_repo_settings(repo, private=False, **_KIND)
    sent, deleted = (
        tuple(change.path_in_repo for change in changes if type(change).__name__ == kind)
        for kind in ("CommitOperationAdd", "CommitOperationDelete")
    )
    return Published(f"{api.endpoint}/datasets/{repo}", sent, deleted, public)


def _api() -> HfApi:
    from huggingface_hub import HfApi

    environment.check_httpx()
    hugging_face.unwatched()
    return HfApi(endpoint=hugging_face.endpoint(), library_name="feature-neurons")


def _exists(owner: str) -> bool:
    from huggingface_hub.errors import HfHubHTTPError

    for kind in ("get_user_overview", "get_organization_overview"):
        try:
            with _explained(owner):
                getattr(_api(), kind)(owner)
            return True
        except HubError as exc:
            if not isinstance(exc.__cause__, HfHubHTTPError) or exc.__cause__.response.status_code != 404:
                raise
    return False


def _yours(names: list[str | None]) -> str:
    return "yours: " + ", ".join(f"REPO={line(name)}/..." for name in names if name)


def _state(api: HfApi, repo: str, *, public: bool) -> tuple[dict[str, Any], str | None, bool]:
    """The files of a repository, its last commit, and whether it is public; a missing one is created."""
    from huggingface_hub import RepoFile
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        info = api.repo_info(repo, **_KIND)
    except RepositoryNotFoundError:
        api.create_repo(repo, private=not public, exist_ok=True, **_KIND)
        info = api.repo_info(repo, **_KIND)
    if not info.private and not public:
        raise UserError(
            f"REPO: {repo} can be seen by everybody; say PUBLIC=1 (--public), give another name, or "
            "make it private in its settings"
        )
    tree = api.list_repo_tree(repo, recursive=True, revision=info.sha, **_KIND)
    there = {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}
    if there.keys() - _HARMLESS and MARK not in there:
        raise UserError(f"REPO: {repo} holds something else; give another name")
    return there, info.sha, not info.private


def _changes(
    folder: Path, names: Sequence[str], there: dict[str, Any]
) -> Iterator[CommitOperationAdd | CommitOperationDelete]:
    """The changes that make the files `there` those of the data set: none where they are the same."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    for name in names:
        path = folder / name
        if name not in there or not _is_same(path, there[name]):
            yield CommitOperationAdd(path_in_repo=name, path_or_fileobj=str(path))
    for name in there.keys() - set(names):
        if _SHARD.fullmatch(name):
            yield CommitOperationDelete(path_in_repo=name)


def _is_same(path: Path, there: Any) -> bool:
    """Whether a file equals the repository's, by its hash there."""
    if there.lfs:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == there.lfs.sha256
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == there.blob_id


@contextmanager
def _explained(repo: str) -> Iterator[None]:
    """Turn errors of the Hub into one line with the way out."""
    import httpx2
    from huggingface_hub import errors

    try:
        yield
    except errors.HfHubHTTPError as exc:
        raise HubError(_refusal(exc, repo)) from exc
    except errors.OfflineModeIsEnabled as exc:
        raise HubError("HF_HUB_OFFLINE is set, and publishing needs the network; unset it") from exc
    # an upload that fails raises RuntimeError, in threads of Python or of Rust
    except (httpx2.HTTPError, OSError, RuntimeError) as exc:
        reason = line(str(exc.__cause__ or exc)) or type(exc).__name__
        raise HubError(f"the connection with the Hub was lost ({reason[:200]}); {_AGAIN}") from exc


def _refusal(exc: Any, repo: str) -> str:
    status = exc.response.status_code
    said = line(exc.server_message or "")[:200]
    why = f"HTTP {status}" + (f": {said}" if said else "")
    if status == 401:
        return f"the Hub does not know this token ({why}); put a valid one into HF_TOKEN"
    if status == 403:
        return (
            f"the token may not write to {repo} ({why}); make one with the right to write at "
            "https://huggingface.co/settings/tokens and put it into HF_TOKEN"
        )
    if status == 404:
        return f"the Hub has no {repo}, or this token may not see it ({why})"
    if status == 412:
        return f"{repo} was changed by somebody else in the meantime ({why}); {_AGAIN}"
    return f"the Hub refuses ({why}); {_AGAIN}"
