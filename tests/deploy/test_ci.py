"""What users' own checks are made of: the action's scripts at a small forge, and the files that forges read."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from forges import LONGEST, TOKEN, Forge, Reply, forge
from kustomized import KUBERNETES, Object, one, rendered
from kustomized import SCHEMAS as VERSIONS
from manifests import DEPLOY
from reconciler.simulator import Platform
from repositories import git
from scenarios import child_environment, fleet, owned, site, text, write

ROOT = DEPLOY.parent
CI = DEPLOY / "ci"
SCRIPTS = CI / "scripts"
PROGRAM = Path(sys.executable).parent / "pcc-reconciler"
READ = "sesame-read-9000"
SUMMARY_LIMIT = 1024 * 1024


@pytest.fixture
def at() -> Iterator[Forge]:
    """Give a forge with nothing in it."""
    with forge() as one:
        yield one


@dataclass
class Ended:
    """What a script left behind."""

    code: int
    out: str


@dataclass
class Job:
    """A job of a forge: its folder, and the environment that the forge gives it."""

    folder: Path
    at: Forge
    given: dict[str, str] = field(default_factory=dict)

    def run(self, script: str, *arguments: str, **more: str) -> Ended:
        """Run a script as a step of the job."""
        around = child_environment(
            {
                "RECONCILER_PROGRAM": str(PROGRAM),
                **self.given,
                **more,
                "PYTHONPATH": "",
                "PYTHONDONTWRITEBYTECODE": "1",
            }
        )
        done = subprocess.run(  # noqa: S603 - ours
            [sys.executable, str(SCRIPTS / script), *arguments],
            cwd=self.folder,
            env=around,
            capture_output=True,
            text=True,
            check=False,
        )
        assert TOKEN not in done.stdout + done.stderr
        assert READ not in done.stdout + done.stderr
        return Ended(done.returncode, done.stdout + done.stderr)

    @property
    def summary(self) -> str:
        """Return the job's summary."""
        return (self.folder / "summary.md").read_text(encoding="utf-8")


def github(folder: Path, at: Forge, *, fork: bool = False, number: int = 7) -> Job:
    """Return a job of a pull request at GitHub."""
    base = {"repo": {"id": 1, "full_name": "us/fleet"}}
    head = {"sha": at.head, "repo": {"id": 2 if fork else 1}}
    event = {"pull_request": {"number": number, "head": head, "base": base}}
    write(folder / "event.json", json.dumps(event))
    given = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_API_URL": at.url,
        "GITHUB_SERVER_URL": "https://github.example",
        "GITHUB_REPOSITORY": "us/fleet",
        "GITHUB_RUN_ID": "99",
        "GITHUB_EVENT_PATH": str(folder / "event.json"),
        "GITHUB_STEP_SUMMARY": str(folder / "summary.md"),
        "GITHUB_OUTPUT": str(folder / "output"),
        "GITHUB_WORKSPACE": str(folder),
    }
    return Job(folder, at, given)


def gitlab(folder: Path, at: Forge, *, fork: bool = False) -> Job:
    """Return a job of a merge request at GitLab."""
    given = {
        "GITLAB_CI": "true",
        "CI_API_V4_URL": f"{at.url}/api/v4",
        "CI_PROJECT_ID": "42",
        "CI_MERGE_REQUEST_PROJECT_ID": "42",
        "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "43" if fork else "42",
        "CI_MERGE_REQUEST_IID": "7",
        "CI_COMMIT_SHA": at.head,
        "CI_JOB_URL": "https://gitlab.example/us/fleet/-/jobs/5",
    }
    return Job(folder, at, given)


MakeJob = Callable[..., Job]


def pieces(
    folder: Path, plan: str = "### Plan: 1 to unsubscribe.", valid: str = "### Valid"
) -> Path:
    """Write what a check leaves for the comment."""
    out = folder / "out"
    out.mkdir(exist_ok=True)
    for name, content in (("plan", plan), ("validate", valid)):
        write(out / f"{name}.md", content)
        write(out / f"{name}.whole.md", f"{content} (whole)")
    return out


def shown(job: Job, *arguments: str, **more: str) -> Ended:
    """Write the comment with the forge's token."""
    return job.run(
        "comment.py", "--from", "out", *arguments, GITHUB_TOKEN=TOKEN, FORGE_TOKEN=TOKEN, **more
    )


# ---------------------------------------------------------------------------------------------------------------------
# The comment


@pytest.mark.parametrize("make", [github, gitlab])
def test_a_second_check_updates_the_comment(tmp_path: Path, at: Forge, make: MakeJob) -> None:
    """However many comments there are before it, ours is found again, replaced as a whole, and none is added."""
    job = make(tmp_path, at)
    for number in range(230):
        at.say("mina", f"comment {number}")
    pieces(tmp_path)
    assert shown(job).code == 0
    for number in range(40):
        at.say("mina", f"later comment {number}")
    assert len(at.bodies()) == 1
    assert "1 to unsubscribe" in at.bodies()[0]
    pieces(tmp_path, plan="### Plan: 2 to unsubscribe.")
    ended = shown(job)
    assert (ended.code, len(at.bodies()), len(at.comments)) == (0, 1, 271)
    assert "2 to unsubscribe" in at.bodies()[0]
    assert "1 to unsubscribe" not in at.bodies()[0]
    assert "updated" in ended.out


def test_two_checks_of_one_repository_have_two_comments(tmp_path: Path, at: Forge) -> None:
    """The key tells them apart, and each finds its own again."""
    job = github(tmp_path, at)
    pieces(tmp_path)
    for _ in range(2):
        for key in ("fleet", "trial hotels"):
            assert shown(job, "--key", key).code == 0
    assert len(at.bodies()) == 2


def test_a_comment_of_somebody_else_is_never_replaced(tmp_path: Path, at: Forge) -> None:
    """Whoever copies our first line keeps the comment, and ours is a new one."""
    job = github(tmp_path, at)
    pieces(tmp_path)
    shown(job)
    at.comments[0]["user"] = {"login": "mallory"}
    before = at.comments[0]["body"]
    shown(job)
    assert at.comments[0]["body"] == before
    assert len(at.bodies()) == 1


def test_what_reviewers_need_comes_first(tmp_path: Path, at: Forge) -> None:
    """The plan is before the comparison, and the last line leads to the job with the whole."""
    pieces(tmp_path)
    shown(github(tmp_path, at))
    lines = at.bodies()[0].splitlines()
    assert lines[0].startswith("<!-- pcc-reconciler: ")
    assert lines.index("### Plan: 1 to unsubscribe.") < lines.index("### Valid")
    assert "https://github.example/us/fleet/actions/runs/99" in lines[-1]
    assert "plan.json" in lines[-1]


@pytest.mark.parametrize("make", [github, gitlab])
def test_a_comment_is_never_too_long(tmp_path: Path, at: Forge, make: MakeJob) -> None:
    """Two pieces of the program's limit fit; what no limit was put to is left out, and the comment says so."""
    job = make(tmp_path, at)
    pieces(tmp_path, plan="p" * 32_000, valid="v" * 32_000)
    assert shown(job).code == 0
    assert 64_000 < len(at.bodies()[0]) <= LONGEST
    pieces(tmp_path, plan="p" * 65_500)
    assert shown(job).code == 0
    assert "too long" in at.bodies()[0]


def test_the_summary_has_the_whole_and_its_own_limit(tmp_path: Path, at: Forge) -> None:
    """What is too long for a summary is cut at a line, and the summary says so."""
    job = github(tmp_path, at)
    out = pieces(tmp_path)
    write(out / "plan.whole.md", "한 " * 500 + "\n" + "- row\n" * 400_000)
    assert shown(job).code == 0
    assert len(job.summary.encode()) <= SUMMARY_LIMIT
    assert job.summary.splitlines()[-2:] == [
        "This is not all: the rest does not fit into a summary.",
        "",
    ]
    assert {"- row"} >= set(job.summary.splitlines()[2:-4])


def test_a_deleted_comment_is_written_anew(tmp_path: Path, at: Forge) -> None:
    """A comment that goes away between the look and the update does not fail the check."""
    job = github(tmp_path, at)
    pieces(tmp_path)
    shown(job)
    listing: Reply = (200, [dict(at.comments[0])], {})
    at.comments.clear()
    at.failures.append(listing)
    assert shown(job).code == 0
    assert len(at.bodies()) == 1


def test_a_forge_in_trouble_is_asked_again(tmp_path: Path, at: Forge) -> None:
    """Two failures that pass are waited for as the forge asks; three are the job's failure, with the forge's words."""
    job = github(tmp_path, at)
    pieces(tmp_path)
    busy = (502, {"message": "Unicorn"}, {"retry-after": "0"})
    limited = (403, {"message": "You have exceeded a secondary rate limit"}, {"retry-after": "0"})
    at.failures += [busy, limited]
    assert shown(job).code == 0
    at.failures += [busy] * 3
    ended = shown(job)
    assert ended.code == 1
    assert "Unicorn" in ended.out
    assert len(at.bodies()) == 1


def test_a_job_that_may_not_comment_says_so(tmp_path: Path, at: Forge) -> None:
    """A token without the permission is a warning with the reason, and the summary still has it all."""
    at.may_write = False
    job = github(tmp_path, at)
    pieces(tmp_path)
    ended = shown(job)
    assert ended.code == 0
    assert "::warning::The comment was not written" in ended.out
    assert "not accessible by integration" in ended.out
    assert "(whole)" in job.summary


def test_a_token_follows_no_redirect(tmp_path: Path, at: Forge) -> None:
    """A forge that leads elsewhere is an error, and nothing is asked there."""
    job = github(tmp_path, at)
    pieces(tmp_path)
    with forge() as elsewhere:
        at.failures += [
            (302, {}, {"location": f"{elsewhere.url}/repos/us/fleet/issues/7/comments"})
        ]
        ended = shown(job)
        assert (ended.code, elsewhere.calls) == (1, [])


# ---------------------------------------------------------------------------------------------------------------------
# Forks


@pytest.mark.parametrize("make", [github, gitlab])
def test_a_pull_request_from_a_fork_gets_neither_plan_nor_comment(
    tmp_path: Path, at: Forge, make: MakeJob
) -> None:
    """It is validated, no token is used even where one is there by mistake, and the reason is stated."""
    job = make(tmp_path, at, fork=True)
    write(tmp_path / "desired-state.toml", 'version = 1\ndevices = ["aaaaaaaa"]\n')
    assert job.run("check.py", "validate", "--out", "out").code == 0
    planned = job.run(
        "check.py", "plan", "--out", "out", "--server", "http://127.0.0.1:9", PCC_READ_TOKEN=READ
    )
    assert planned.code == 0
    assert "from a fork" in planned.out
    ended = shown(job)
    assert ended.code == 0
    assert "No comment was written" in ended.out
    assert at.calls == []


def test_files_of_a_fork_are_planned_by_a_second_workflow_for_the_newest_commit_only(
    tmp_path: Path, at: Forge
) -> None:
    """The number of the pull request is the fork's word, so the commit has to be the newest of that pull request."""
    job = github(tmp_path, at)
    write(tmp_path / "event.json", json.dumps({"workflow_run": {"head_sha": "c0ffee"}}))
    pieces(tmp_path)
    assert shown(job).code == 0
    assert at.calls == []
    assert shown(job, "--number", "7", "--head", "0ddba11").code == 0
    assert at.bodies() == []
    assert shown(job, "--number", "7", "--head", "c0ffee").code == 0
    assert len(at.bodies()) == 1


# ---------------------------------------------------------------------------------------------------------------------
# The check itself


def test_faults_are_shown_at_their_places_from_the_root(tmp_path: Path, at: Forge) -> None:
    """Also from a folder below, an annotation names the file as the forge does; an events file is checked, too."""
    (tmp_path / ".git").mkdir()
    below = tmp_path / "tools" / "ci"
    below.mkdir(parents=True)
    write(tmp_path / "fleet" / "a.toml", 'version = 1\ndevices = ["aaaaaaaa"\n')
    write(tmp_path / "events.toml", "version = 1\nsnks = 1\n")
    job = github(tmp_path, at)
    job.folder = below
    places = ("--path", "../../fleet", "--events", "../../events.toml")
    ended = job.run("check.py", "validate", "--out", "out", *places)
    assert ended.code == 1
    assert "::error file=fleet/a.toml,line=" in ended.out
    assert "::error file=events.toml,line=2" in ended.out
    assert "valid=false" in (tmp_path / "output").read_text()
    assert "not valid" in (below / "out" / "validate.md").read_text()


def test_gitlab_gets_faults_as_its_own_report(tmp_path: Path, at: Forge) -> None:
    """Each fault is a row of the code quality report, at its line."""
    write(tmp_path / "desired-state.toml", 'version = 1\ndevices = ["aaaaaaaa", "aaaaaaaa"]\n')
    job = gitlab(tmp_path, at)
    assert job.run("check.py", "validate", "--out", "out").code == 1
    (row,) = json.loads((tmp_path / "out" / "validate.codequality.json").read_text())
    assert row["location"] == {"path": "desired-state.toml", "lines": {"begin": 2}}
    assert row["severity"] == "major"


def test_foreign_words_in_the_log_are_no_commands(tmp_path: Path, at: Forge) -> None:
    """What the program says of foreign files is printed while the forge takes no commands."""
    job = github(tmp_path, at)
    ended = job.run(
        "check.py",
        "plan",
        "--out",
        "out",
        "--path",
        "##[set-output name=x]y",
        "--server",
        "http://127.0.0.1:9",
    )
    before, _, after = ended.out.partition("##[set-output")
    assert before.rstrip().splitlines()[-1].startswith(("::stop-commands::", "Usage", "pcc"))
    assert "::stop-commands::" in before
    word = before.partition("::stop-commands::")[2].splitlines()[0]
    assert f"::{word}::" in after


@pytest.fixture
def platform() -> Platform:
    """Give a platform with a fleet of sixty devices, of which none is subscribed."""
    return fleet(60)


async def test_a_pull_request_is_planned_with_the_token_for_reading(
    tmp_path: Path, at: Forge, platform: Platform
) -> None:
    """The action's steps, one after the other, against a running daemon: removals, what holds them, the approval."""
    devices = owned(platform)
    write(tmp_path / "live.toml", text(devices))
    given = {
        "PCC_DESIRED_STATE": str(tmp_path / "live.toml"),
        "PCC_READ_TOKEN": READ,
        "PCC_LISTEN_TOKEN": "sesame-act-9000",
    }
    async with site(tmp_path, platform, **given) as one:
        await one.has(devices)
        job = github(tmp_path, at)
        write(tmp_path / "fleet" / "a.toml", text(devices[:10]))
        url = str(one.http.base_url)
        steps = ("--out", "out", "--path", "fleet")
        assert (await asyncio.to_thread(job.run, "check.py", "validate", *steps)).code == 0
        plan = ("plan", *steps, "--server", url)
        locked_out = await asyncio.to_thread(job.run, "check.py", *plan)
        assert locked_out.code == 1
        assert "There is no plan" in (tmp_path / "out" / "plan.md").read_text()
        planned = await asyncio.to_thread(job.run, "check.py", *plan, PCC_READ_TOKEN=READ)
        assert planned.code == 0, planned.out
        held = ("--fail-on", "held")
        assert (
            await asyncio.to_thread(job.run, "check.py", *plan, *held, PCC_READ_TOKEN=READ)
        ).code == 1
        assert (await asyncio.to_thread(shown, job)).code == 0
    (body,) = at.bodies()
    order = [
        body.index(word)
        for word in ("50 held", "**too-many** holds 50", "[[approvals]]", f"`{devices[10]}`")
    ]
    assert order == sorted(order)
    whole = json.loads((tmp_path / "out" / "plan.json").read_text())
    assert len(whole["accounts"][0]["held"]) == 50
    assert "plan=3" in (tmp_path / "output").read_text()
    assert one.live() == set(devices)


# ---------------------------------------------------------------------------------------------------------------------
# After the merge


@pytest.mark.parametrize("make", [github, gitlab])
async def test_the_commit_gets_its_status_after_the_merge(
    tmp_path: Path, at: Forge, platform: Platform, make: MakeJob
) -> None:
    """The commit is pending while the daemon works, and ends as the wait did, with its sentence."""
    write(tmp_path / "live.toml", text(owned(platform)))
    given = {"PCC_DESIRED_STATE": str(tmp_path / "live.toml")}
    async with site(tmp_path, platform, **given) as one:
        await one.has(owned(platform))
        digest = (await one.get("/api/v1/status")).json()["text"]["sha256"]
        server = ("--server", str(one.http.base_url))
        job = make(tmp_path, at)
        commit, tokens = digest[:40], {"GITHUB_TOKEN": TOKEN, "FORGE_TOKEN": TOKEN}
        ended = await asyncio.to_thread(
            job.run, "wait.py", *server, "--revision", commit, "--timeout", "1s", **tokens
        )
    assert ended.code == 1
    first, last = at.statuses
    assert [first[0], last[0]] == [commit, commit]
    assert first[1]["state"] in {"pending", "running"}
    assert last[1]["state"] in {"error", "failed"}
    assert last[1]["description"].startswith(f"timed out: waiting for revision {commit[:7]}")


def committed(folder: Path) -> str:
    """Commit what is in a folder, and return the commit's id."""
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    me = ("-c", "user.name=Mina", "-c", "user.email=mina@example.com")
    git(folder, *me, "commit", "--quiet", "--message", "Begin")
    return git(folder, "rev-parse", "HEAD")


async def test_a_merge_that_is_done_is_a_success(
    tmp_path: Path, at: Forge, platform: Platform
) -> None:
    """An awaited commit that is in force and in sync makes the status of the commit a success."""
    folder = tmp_path / "repository"
    write(folder / "desired-state.toml", text(owned(platform)))
    head = committed(folder)
    given = {"PCC_DESIRED_STATE": str(folder / "desired-state.toml")}
    async with site(tmp_path, platform, **given) as one:
        await one.has(owned(platform))
        job = github(tmp_path, at)
        url = ("--server", str(one.http.base_url), "--revision", head, "--timeout", "60s")
        ended = await asyncio.to_thread(job.run, "wait.py", *url, GITHUB_TOKEN=TOKEN)
    assert ended.code == 0, ended.out
    assert [body["state"] for _, body in at.statuses] == ["pending", "success"]
    assert at.statuses[-1][1]["target_url"].endswith("/actions/runs/99")
    assert "in sync" in job.summary


# ---------------------------------------------------------------------------------------------------------------------
# The files that forges read

SCHEMAS = {
    "github-actions": ("check/action.yml", "wait/action.yml"),
    "github-workflows": (
        "examples/github-pull-request.yml",
        "examples/github-fork.yml",
        "examples/github-merged.yml",
    ),
    "gitlab-ci": ("gitlab.yml", "examples/gitlab-ci.yml"),
}


@pytest.mark.parametrize("schema", SCHEMAS)
def test_what_forges_read_is_valid_by_their_schemas(schema: str) -> None:
    """Each file is what its reader documents, checked without a network."""
    checker = Path(sys.executable).parent / "check-jsonschema"
    files = [str(CI / file) for file in SCHEMAS[schema]]
    words = [str(checker), "--builtin-schema", f"vendor.{schema}", *files]
    done = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    assert done.returncode == 0, done.stdout + done.stderr


def test_hooks_are_commands_of_the_program(tmp_path: Path) -> None:
    """Each hook of pre-commit runs a command that accepts the files that it would be given, and refuses faulty ones."""
    hooks = {
        one["id"]: one for one in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    }
    (used,) = yaml.safe_load((CI / "examples" / "pre-commit-config.yaml").read_text())["repos"]
    assert {one["id"] for one in used["hooks"]} <= hooks.keys()
    good = {
        "pcc-validate": "desired-state.example.toml",
        "pcc-validate-events": "events.example.toml",
    }
    write(tmp_path / "bad.toml", "version = 2\n")
    for name, hook in hooks.items():
        assert {"id", "name", "entry", "language"} <= hook.keys()
        _, *words = hook["entry"].split()
        for file, code in ((str(ROOT / good[name]), 0), (str(tmp_path / "bad.toml"), 1)):
            done = subprocess.run(  # noqa: S603 - ours
                [str(PROGRAM), *words, file], cwd=tmp_path, capture_output=True, check=False
            )
            assert done.returncode == code, (name, file, done.stderr)


def steps_of(file: str) -> list[dict[str, Any]]:
    """Return the steps of a composite action."""
    found: list[dict[str, Any]] = yaml.safe_load((CI / file).read_text())["runs"]["steps"]
    return found


@pytest.mark.parametrize("file", ["check/action.yml", "wait/action.yml"])
def test_no_step_gets_more_than_it_needs(file: str) -> None:
    """Only steps that ask the daemon have its token, only those that write have the forge's; inputs are no script."""
    for step in steps_of(file):
        given: Mapping[str, str] = step.get("env", {})
        asks = 'check.py" plan' in step.get("run", "") or "wait.py" in step.get("run", "")
        writes = "comment.py" in step.get("run", "") or "wait.py" in step.get("run", "")
        assert ("PCC_READ_TOKEN" in given) == asks, step["name"]
        assert ("GITHUB_TOKEN" in given) == writes, step["name"]
        assert "${{" not in step.get("run", "")


def test_every_input_of_an_action_is_used() -> None:
    """An input that nothing reads would be a promise that nobody keeps; one that is read is described."""
    for file in ("check/action.yml", "wait/action.yml"):
        content = (CI / file).read_text()
        for name in yaml.safe_load(content)["inputs"]:
            assert f"inputs.{name}" in content, name


def test_the_installer_takes_locked_packages_only() -> None:
    """Each pip install has hashes, or takes nothing but the checkout beside the script."""
    lines = [
        line
        for line in (SCRIPTS / "install.sh").read_text().splitlines()
        if line.startswith('"${pip[@]}"')
    ]
    assert len(lines) == 2
    for line in lines:
        assert "--require-hashes" in line or "--no-deps --no-build-isolation" in line
    assert os.access(SCRIPTS / "install.sh", os.X_OK)


# ---------------------------------------------------------------------------------------------------------------------
# After Argo CD or Flux has applied

ADDED = """
components:
  - ../../../ci/after-apply
"""
GENERATED = """  - name: pcc-after-apply
    files: [desired-state.toml]
patches:
"""


@pytest.fixture(scope="module")
def applied(tmp_path_factory: pytest.TempPathFactory) -> list[Object]:
    """Give the objects of the overlay with the ConfigMap and this component, added as its head says."""
    folder = tmp_path_factory.mktemp("deploy")
    shutil.copytree(KUBERNETES, folder / "kubernetes")
    shutil.copytree(CI, folder / "ci")
    overlay = folder / "kubernetes" / "overlays" / "configmap"
    file = overlay / "kustomization.yaml"
    changed = file.read_text().replace("\npatches:\n", f"\n{GENERATED}", 1)
    assert changed != file.read_text()
    write(file, changed + ADDED)
    return rendered(overlay)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_job_after_apply_is_valid(applied: list[Object], version: str) -> None:
    """Job and network policy are what each version of Kubernetes takes, strictly, and the pod is a restricted one."""
    for kind in ("Job", "NetworkPolicy"):
        kubernetes_validate.validate(one(applied, kind, "pcc-after-apply"), version, strict=True)
    spec = one(applied, "Job")["spec"]["template"]["spec"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert not spec["automountServiceAccountToken"]
    (secret,) = [volume["secret"] for volume in spec["volumes"] if "secret" in volume]
    assert [item["key"] for item in secret["items"]] == ["read_token"]


def test_the_job_reads_what_was_applied_and_reaches_the_daemon(applied: list[Object]) -> None:
    """It has the content under a name that follows it, the daemon's image, and a way in to the daemon's port."""
    job, service = one(applied, "Job"), one(applied, "Service")
    spec = job["spec"]["template"]["spec"]
    (made,) = [
        each["metadata"]["name"]
        for each in applied
        if each["kind"] == "ConfigMap" and each["metadata"]["name"].startswith("pcc-after-apply-")
    ]
    assert spec["volumes"][0]["configMap"]["name"] == made
    deployed = one(applied, "Deployment")["spec"]["template"]
    (container,) = spec["containers"]
    assert container["image"] == deployed["spec"]["containers"][0]["image"]
    script = container["args"][0]
    address = f"http://{service['metadata']['name']}:{service['spec']['ports'][0]['port']}"
    assert address in script
    policy = one(applied, "NetworkPolicy", "pcc-after-apply")["spec"]
    (chosen,) = policy["podSelector"]["matchExpressions"]
    assert deployed["metadata"]["labels"][chosen["key"]] in chosen["values"]
    flux = yaml.safe_load((CI / "examples" / "flux-kustomization.yaml").read_text())
    names = {(check["kind"], check["name"]) for check in flux["spec"]["healthChecks"]}
    assert names == {("Job", job["metadata"]["name"]), ("Deployment", "pcc-reconciler")}


async def test_the_script_of_the_job_ends_when_the_daemon_is_done(
    tmp_path: Path, platform: Platform, applied: list[Object]
) -> None:
    """The digest that the shell makes of the file is the revision that the daemon has in force."""
    script = one(applied, "Job")["spec"]["template"]["spec"]["containers"][0]["args"][0]
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    async with site(tmp_path, platform) as daemon:
        await daemon.has(owned(platform))
        here = script.replace("/etc/after-apply", str(tmp_path)).replace(
            "http://pcc-reconciler:8080", str(daemon.http.base_url)
        )
        around = child_environment({"PATH": f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}"})
        child = await asyncio.create_subprocess_exec(
            *("/bin/sh", "-ec", here), env=around, stderr=asyncio.subprocess.PIPE
        )
        _, said = await child.communicate()
    assert child.returncode == 0, said
    assert b"done with revision" in said
