#!/usr/bin/python
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Brings an app of rsgen to the requested state, and reports what changed."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: rsgen_app
short_description: Run a server program as a cluster of instances on systemd
version_added: "0.1.0"
description:
  - Installs, changes, reloads and removes apps with C(rsgen).
  - A change is applied by a rolling reload, which starts a canary first. A version that does not start
    fails the task with C(rsgen)'s reason, and every instance keeps serving its version.
  - A second run with the same options changes nothing.
options:
  state:
    description:
      - V(present) installs the app, starts it, and applies changes.
      - V(reloaded) replaces the instances one by one, whether anything has changed or not.
      - V(absent) stops the app and removes what was installed, including the file of its secrets.
    type: str
    choices: [present, reloaded, absent]
    default: present
  name:
    description:
      - Name of the app, and of its units.
      - With O(src) or O(content), selects this app of the file.
    type: str
  config:
    description:
      - The keys of one app, as in an ecosystem file. O(name) is added.
      - Secrets do not belong here, since every user can read units. Use O(secrets). The task warns of a variable in C(env)
        whose name sounds like a secret, and masks the value.
    type: dict
  env:
    description:
      - Variables of the app, with O(config). They go over those of C(env) in O(config).
      - No value is shown in a diff, and none in a log, except numbers of up to five digits, booleans, and values of less than
        four characters, which occur in too many other words to be masked there.
      - They are written into the ecosystem file and the units, which every user of the host can read. Secrets belong into
        O(secrets); the task warns of a variable whose name sounds like one.
    type: dict
    version_added: "0.4.0"
  content:
    description: The text of an ecosystem file.
    type: str
  src:
    description: The path of an ecosystem file on the host.
    type: path
  chdir:
    description: The folder that paths in O(config) and O(content) are relative to.
    type: path
    default: /
  secrets:
    description:
      - Variables that only root may read. They are written to O(env_file) with mode 0600, and the app reads that file.
      - Names consist of letters, digits and C(_). Others are refused, since systemd ignores them and logs their values.
      - No part of a value is shown. Lines of a secret are also masked in the last output of an app that failed.
      - A changed value is applied by a rolling reload. If the canary fails, the file gets its old content back.
      - Can be used with O(config) only. An ecosystem file names its own C(env_file).
    type: dict
  env_file:
    description:
      - The file for O(secrets). The default is C(/etc/rsgen/NAME.env).
      - An existing file has to be a regular file without further hard links. A symbolic link is not followed, nor is one in
        the place of a folder if another user than root could have made it; the task fails instead.
      - The file has to be in a folder where only root may write. In any other folder rsgen would read the file with the rights
        of the app's user, who may not read it, so the task fails. For an app that runs as root the task warns, and no name
        in such a file is shown.
    type: path
  replace_listener:
    description: Whether the app may be stopped to move to an address that cannot be open beside its present one.
    type: bool
    default: false
  prune:
    description:
      - Whether apps are removed that an earlier run with the file O(src) has installed and that this file no longer has. The others are
        brought to the requested state first.
      - With O(src) and without O(name), because only a file with all of its apps can have lost one.
    type: bool
    default: false
    version_added: "0.6.0"
  executable:
    description: The path of C(rsgen), if it is not in the search path.
    type: path
attributes:
  check_mode:
    description:
      - Reports what would change, and changes nothing.
      - Nothing is started, so for an app without C(listen) the address is found when the app is installed. The task then reports a
        change without the units that will follow from the address.
    support: full
  diff_mode:
    description:
      - Shows the ecosystem file and the units, which every user of the host may read. A value of O(config) or of an
        ecosystem file whose name sounds like a secret is left out of their lines.
      - If such a value, or a string of any name, takes several lines, the lines up to the next table or section are left out.
      - Of secrets only the names that are removed, added or changed are shown, or C((changed)) if a file has a line that is
        not certainly a variable. No value, no comment and no such line is shown.
    support: full
author:
  - The authors of rsgen (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Four instances behind port 3000
  rsgen.rsgen.rsgen_app:
    name: web
    config:
      script: server.js
      cwd: /srv/web/releases/1.2.0
      listen: 3000
      instances: 4
      user: www-data
    secrets:
      DATABASE_PASSWORD: "{{ database_password }}"

- name: The apps of an ecosystem file that a package installed
  rsgen.rsgen.rsgen_app:
    src: /srv/shop/ecosystem.toml

- name: The same, and those that the file no longer has are removed
  rsgen.rsgen.rsgen_app:
    src: /srv/shop/ecosystem.toml
    prune: true

- name: Remove an app
  rsgen.rsgen.rsgen_app:
    name: web
    state: absent
"""

RETURN = r"""
changes:
  description: The files that were changed, or in check mode would be.
  returned: success
  type: list
  elements: dict
  sample: [{"action": "create", "path": "/etc/systemd/system/web.socket"}]
started:
  description: The apps that did not run before and were started.
  returned: success
  type: list
  elements: str
reloaded:
  description: The apps whose instances were replaced one by one.
  returned: success
  type: list
  elements: str
pruned:
  description: The apps that the file no longer has and that were removed, with O(prune).
  returned: success
  type: list
  elements: str
  version_added: "0.6.0"
rc:
  description: The exit status of C(rsgen). 3 is an invalid ecosystem file, 5 an app that was not ready in time.
  returned: failure
  type: int
untouched:
  description: Whether every instance that served before still serves the same version.
  returned: failure
  type: bool
log:
  description: The last lines of the app's log.
  returned: failure
  type: list
  elements: str
"""

import json
import os
import re
import stat

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.rsgen.rsgen.plugins.module_utils import variables
from ansible_collections.rsgen.rsgen.plugins.module_utils.place import MODE, Place, Unsafe, trusted

INVALID = 3
TABLES = ("env", "unit", "service", "socket")
# Shorter lines of a secret are masked only if they are the whole value, because they occur in many other words.
SHORTEST = 4


class Refused(Exception):
    """A failure of rsgen, with its exit status and message."""

    def __init__(self, rc, answer, stderr):
        super().__init__()
        self.rc = rc
        self.untouched = bool(answer.get("untouched"))
        errors = [d for d in answer.get("diagnostics", []) if d.get("severity") == "error"]
        # The further lines of stderr quote the invalid file.
        said = stderr.strip().split("\n", 1)[0]
        self.message = answer.get("error") or said or "rsgen ended with status %d" % rc
        for error in errors:
            place = "line %s: %s" % (error["line"], error["message"])
            self.message += "; %s" % place
            if error.get("help"):
                self.message += " (%s)" % error["help"]
        if answer.get("help"):
            self.message += "; %s" % answer["help"]


def hide(module, values):
    """Has Ansible mask these values everywhere, in the app's own log too, and line by line."""
    for value in values.values():
        module.no_log_values.update(line.strip() for line in value.splitlines() if len(line.strip()) >= SHORTEST)


def is_common(value):
    """Whether a value of env occurs in so many other words that masking it would hide what happens."""
    return len(value) < SHORTEST or value in ("true", "false") or re.fullmatch(r"[0-9]{1,5}", value) is not None


def text_of(path):
    """The text of a file that rsgen is about to change; None if the file cannot be read."""
    try:
        if not os.path.isfile(path):
            return None
        with open(path, encoding="utf-8", newline="") as file:
            return file.read()
    except (OSError, ValueError):
        return None


class Rsgen:
    """The command rsgen."""

    def __init__(self, module, path):
        self.module = module
        self.path = path

    def run(self, *arguments, text=None):
        """Runs a subcommand and returns its JSON output."""
        rc, out, err = self.module.run_command(
            [self.path, *arguments, "--json"],
            data=text,
            binary_data=False,
            cwd=self.module.params["chdir"] if text is not None else None,
        )
        try:
            answer = json.loads(out)
        except ValueError:
            answer = {}
        if rc != 0:
            raise Refused(rc, answer, err)
        return answer

    def log(self, app):
        """The last lines of the app's log."""
        rc, out, _err = self.module.run_command(["journalctl", "-t", app, "-n", "20", "-o", "cat", "--no-pager"])
        return out.splitlines() if rc == 0 else []


def toml_string(text):
    """A basic string of TOML, which differs from a JSON string in one character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def toml_key(key):
    """A key of TOML, bare if TOML allows it."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else toml_string(key)


def toml_value(value):
    """A value on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, (list, tuple)):
        return "[%s]" % ", ".join(toml_value(v) for v in value)
    if isinstance(value, dict):
        return "{ %s }" % ", ".join("%s = %s" % (toml_key(k), toml_value(v)) for k, v in sorted(value.items()))
    return toml_string(str(value))


def variable(value):
    """The value of a variable as a program reads it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def toml_app(config):
    """An ecosystem file of one app; always the same text for the same keys."""
    keys = {k: v for k, v in config.items() if v is not None}
    tables = {k: keys.pop(k) for k in TABLES if isinstance(keys.get(k), dict)}
    if "env" in tables:
        tables["env"] = {k: variable(v) for k, v in tables["env"].items() if v is not None}
    lines = ["[[apps]]"]
    for key in sorted(keys, key=lambda k: (k != "name", k != "script", k)):
        lines.append("%s = %s" % (toml_key(key), toml_value(keys[key])))
    for table in (t for t in TABLES if t in tables):
        lines += ["", "[apps.%s]" % table]
        lines += ["%s = %s" % (toml_key(k), toml_value(v)) for k, v in sorted(tables[table].items())]
    return "\n".join(lines) + "\n"


class Secrets:
    """The file of an app's secrets, see EnvironmentFile= in systemd.exec(5)."""

    def __init__(self, module, path, values, user=None):
        self.place = Place(path)
        if self.place.doubt and str(user or "root") not in ("root", "0"):
            raise Unsafe(
                "env_file: %s, so rsgen would read `%s` with the rights of `%s`, who may not read a file that only root can read"
                "; use a folder that only root can write to, such as /etc/rsgen" % (self.place.doubt, path, user)
            )
        values = {name: variable(value) for name, value in values.items()}
        hide(module, values)
        try:
            self.text = variables.written(values)
        except ValueError as error:
            raise Unsafe("secrets: %s" % error) from error
        self.new = self.text.encode()
        found = self.place.read()
        self.old, self.status = found or (None, None)
        hide(module, self.known() or {})
        if self.place.doubt:
            module.warn(
                "env_file: %s, so another user can replace `%s`, which is read as root, by another file or a link; "
                "use a folder that only root can write to, such as /etc/rsgen" % (self.place.doubt, path)
            )

    def known(self):
        """The variables of the existing file; None if others could have written it, because then nothing is shown."""
        if self.old is None:
            return {}
        if self.place.doubt or not trusted(self.status.st_uid):
            return None
        try:
            return variables.read(self.old.decode())
        except UnicodeDecodeError:
            return None

    @property
    def stale(self):
        """Whether the app has read secrets that are out of date."""
        return self.new != self.old

    @property
    def changed(self):
        return self.stale or self.mode() != self.mode(wanted=True)

    def mode(self, wanted=False):
        if wanted:
            return "mode %04o, owner %d\n" % (MODE, os.geteuid())
        return "mode %04o, owner %d\n" % (self.status.st_mode & 0o7777, self.status.st_uid) if self.status else ""

    def put(self):
        if self.changed:
            self.place.write(self.new)

    def put_back(self):
        if self.old is None:
            self.place.remove()
        else:
            self.place.write(self.old)

    def change(self):
        return {"action": "create" if self.old is None else "change", "path": self.place.path}

    def diff(self):
        """The names that differ, where they are certain; never a value."""
        before = after = ""
        if self.stale:
            before, after = variables.difference(self.known(), variables.read(self.text))
        if self.status and self.mode() != self.mode(wanted=True):
            before, after = self.mode() + before, self.mode(wanted=True) + after
        path = self.place.path
        return {"before": before, "after": after, "before_header": path, "after_header": path}


class App:
    """The app that the task describes."""

    def __init__(self, module, rsgen):
        self.module = module
        self.rsgen = rsgen
        self.name = module.params["name"]
        self.secrets = None
        self.text = module.params["content"]
        config = module.params["config"]
        if config is not None:
            config = dict(config, name=self.name)
            self.warn_of_telling(config.get("env"))
            self.add_env(config)
            if module.params["secrets"] is not None:
                self.secrets = Secrets(module, self.env_file(), module.params["secrets"], config.get("user"))
                files = config.get("env_file") or []
                files = [files] if isinstance(files, str) else list(files)
                config["env_file"] = [*files, self.secrets.place.path]
            self.text = toml_app(config)

        source = module.params["src"]
        if source and os.path.exists(source) and not os.path.isfile(source):
            raise Unsafe("`%s` is not a regular file, so it cannot be an ecosystem file" % source)

    def add_env(self, config):
        """Puts the option env over the variables of config, and has Ansible show none of its values."""
        env = self.module.params["env"] or {}
        self.warn_of_telling(env)
        values = {n: variable(v) for n, v in env.items() if v is not None}
        # Ansible masks each value of an option that is not to be logged, even a `1`.
        self.module.no_log_values -= {value for value in values.values() if is_common(value)}
        hide(self.module, {n: value for n, value in values.items() if not is_common(value)})
        if env:
            config["env"] = dict(config.get("env") or {}, **env)

    def warn_of_telling(self, env):
        """Warns of variables in env that sound like secrets, and masks their values in Ansible's output."""
        found = {n: variable(v) for n, v in env.items() if variables.TELLING.fullmatch(n)} if isinstance(env, dict) else {}
        hide(self.module, found)
        for name in sorted(found):
            self.module.warn(
                "env: `%s` looks like a secret, but every user of the host can read units; put it into `secrets`" % name
            )

    def env_file(self):
        return self.module.params["env_file"] or "/etc/rsgen/%s.env" % self.name

    def install(self, *more):
        arguments = ["install", "-" if self.text is not None else self.module.params["src"]]
        if self.name:
            arguments += ["--only", self.name]
        if self.module.params["replace_listener"]:
            arguments.append("--replace-listener")
        if self.module.params["prune"]:
            arguments.append("--prune")
        return self.rsgen.run(*arguments, *more, text=self.text)

    def present(self):
        plan = self.plan()
        for app in plan.get("unlocated", []):
            if self.module.check_mode:
                self.module.warn("%s leaves `listen` out: where it listens is found when it is installed" % app)
        for app in plan.get("gone", []):
            if not self.module.params["prune"]:
                self.module.warn("the file no longer has %s, which keeps running; `prune: true` removes it" % app)
        result = {key: plan[key] for key in ("changed", "changes", "started", "reloaded")}
        result["pruned"] = plan.get("pruned", [])
        changes = [change for change in plan["changes"] if "diff" in change]
        result["diff"] = [{"prepared": self.shown(change.pop("diff"), text_of(change["path"]))} for change in changes]
        if self.secrets and self.secrets.changed:
            result["changed"] = True
            result["changes"].append(self.secrets.change())
            result["diff"].append(self.secrets.diff())
            if self.secrets.stale and self.name not in result["started"] + result["reloaded"]:
                result["reloaded"].append(self.name)
        if result["changed"] and not self.module.check_mode:
            self.apply(result)
        return result

    def shown(self, diff, old):
        """The diff of a file without secrets, and with the option env without the value of any variable."""
        veiled = variables.veiled(diff, old)
        if not self.module.params["env"]:
            return veiled
        return variables.without_values(veiled, variables.named(old or "") | variables.named(self.text))

    def apply(self, result):
        if self.secrets:
            self.secrets.put()
        try:
            done = self.install()
            walked = done["started"] + done["reloaded"]
            if self.secrets and self.secrets.stale and self.name not in walked:
                done["reloaded"] += self.rsgen.run("reload", self.name)["reloaded"]
        except Refused as refused:
            # Instances that still serve have to read the old secrets at their next restart.
            if self.secrets and self.secrets.stale and refused.untouched:
                self.secrets.put_back()
            raise
        result.update(started=done["started"], reloaded=done["reloaded"], pruned=done.get("pruned", []))
        # A dry run does not know the units of an app whose address is found by the install.
        known = [change["path"] for change in result["changes"]]
        result["changes"] += [change for change in done["changes"] if change["path"] not in known]

    def plan(self):
        try:
            return self.install("--dry-run")
        except Refused as refused:
            if not (self.module.check_mode and refused.rc == INVALID and self.is_to_come()):
                raise
            self.module.warn("the app's files do not exist yet: %s" % refused.message)
            apps = [self.name] if self.name else []
            return {"changed": True, "changes": [], "started": [], "reloaded": apps}

    def is_to_come(self):
        """Whether a file is missing that earlier tasks would have created, had they not run in check mode."""
        config = self.module.params["config"]
        if config is None:
            return self.text is None and not os.path.exists(self.module.params["src"])
        folder = os.path.join(self.module.params["chdir"], config.get("cwd") or "")
        return not os.path.exists(os.path.join(folder, config.get("script") or ""))

    def reloaded(self):
        if not self.module.check_mode:
            self.rsgen.run("reload", self.name)
        return {"changed": True, "changes": [], "started": [], "reloaded": [self.name]}

    def absent(self):
        result = {"changed": False, "changes": [], "started": [], "reloaded": []}
        place = Place(self.env_file())
        entry = place.entry()
        if entry and stat.S_ISDIR(entry.st_mode):
            raise Unsafe("`%s` is a directory, not the file of the app's secrets; remove it" % place.path)
        known = [app["name"] for app in self.rsgen.run("list")["apps"]] if self.rsgen.path else []
        if self.name in known:
            more = ["--dry-run"] if self.module.check_mode else []
            result["changes"] = self.rsgen.run("uninstall", self.name, *more)["changes"]
        if entry:
            result["changes"].append({"action": "remove", "path": place.path})
            if not self.module.check_mode:
                place.remove()
        result["changed"] = bool(result["changes"])
        result["diff"] = [{"prepared": "remove %s\n" % change["path"]} for change in result["changes"]]
        return result


def main():
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "reloaded", "absent"], "default": "present"},
            "name": {"type": "str"},
            "config": {"type": "dict"},
            "env": {"type": "dict", "no_log": True},
            "content": {"type": "str"},
            "src": {"type": "path"},
            "chdir": {"type": "path", "default": "/"},
            "secrets": {"type": "dict", "no_log": True},
            "env_file": {"type": "path"},
            "replace_listener": {"type": "bool", "default": False},
            "prune": {"type": "bool", "default": False},
            "executable": {"type": "path"},
        },
        mutually_exclusive=[
            ["config", "content", "src"],
            ["secrets", "content"],
            ["secrets", "src"],
            ["env", "content"],
            ["env", "src"],
        ],
        required_if=[
            ["state", "present", ["config", "content", "src"], True],
            ["state", "reloaded", ["name"]],
            ["state", "absent", ["name"]],
        ],
        required_by={"config": ["name"], "secrets": ["name"]},
        supports_check_mode=True,
    )
    state = module.params["state"]
    if module.params["prune"] and (state != "present" or module.params["name"] or not module.params["src"]):
        module.fail_json(msg="prune needs src, the file with all of its apps, without name, and state: present")
    path = module.params["executable"] or module.get_bin_path("rsgen")
    if not path and state != "absent":
        if module.check_mode:
            module.warn("rsgen is not installed yet, so it is unknown what it would change")
            module.exit_json(changed=True, changes=[], started=[], reloaded=[])
        module.fail_json(msg="rsgen is not installed on this host; add the role rsgen.rsgen.rsgen before this")
    rsgen = Rsgen(module, path)
    try:
        result = getattr(App(module, rsgen), state)()
    except Unsafe as unsafe:
        module.fail_json(msg=str(unsafe))
    except Refused as refused:
        module.fail_json(
            msg=refused.message,
            rc=refused.rc,
            untouched=refused.untouched,
            log=rsgen.log(module.params["name"]) if module.params["name"] else [],
        )
    module.exit_json(**result)


if __name__ == "__main__":
    main()
