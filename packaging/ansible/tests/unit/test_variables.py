# SPDX-License-Identifier: MIT OR Apache-2.0
"""Environment files: how much of one is shown, and that systemd reads what is written."""

import unittest

from ansible_collections.rsgen.rsgen.plugins.module_utils import variables

PEM = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\nQUJDRA==\n-----END PRIVATE KEY-----\n"


class Reading(unittest.TestCase):
    def reads(self, text, expected):
        self.assertEqual(variables.read(text), expected, text)

    def test_reads_what_systemd_reads(self):
        self.reads("", {})
        self.reads("# a comment\n\n ; another\nA=1\n", {"A": "1"})
        self.reads("A = two words  \nB='3'", {"A": "two words", "B": "3"})
        self.reads("A=1\\\n2\nB=x\\ y\n", {"A": "12", "B": "x y"})
        self.reads('A="1\\\n2\\"\\$\\n"\n', {"A": '12"$\\n'})
        self.reads('A="one"\'two\' "three"\n', {"A": "onetwothree"})
        self.reads("A='%s'\nB=\"%s\"\n" % (PEM, PEM), {"A": PEM, "B": PEM})
        self.reads("A=1\nA=2\n", {"A": "2"})
        self.reads("A=1\r\nB=2\r\n", {"A": "1", "B": "2"})

    def test_reads_what_it_has_written(self):
        values = {"A": 'a"b\\c$d`e', "B": PEM, "C": "", "D": " x ", "E": "# ;=\\\n'"}
        self.reads(variables.written(values), values)

    def test_reads_nothing_that_is_not_certain(self):
        for text in [
            "A=%s" % PEM,
            "A=MIIEvQIB\nQUJDRA==\n",
            "A=MIIEvQIB\nQUJDRA=\n",
            "A=1\nno assignment\n",
            "export A=1\n",
            "A B=1\n",
            "1A=1\n",
            'A="open\nB=1\n',
            "A='open\n",
            'A=1"\n2"\n',
            'A="1"2\n',
            "# goes on, or not \\\nA=1\n",
            "A=1\0\n",
            "=1\n",
        ]:
            self.reads(text, None)

    def test_a_long_file_takes_no_time(self):
        for text in ['A="' + '\\"' * 200000, "A=" + " " * 200000 + '"', 'A="" ' + " " * 200000 + "x", "#" + "\\x" * 200000 + "\\"]:
            self.reads(text, None)


class Writing(unittest.TestCase):
    def test_refuses_what_systemd_would_log_and_shows_nothing_of_it(self):
        for name in ["", "1A", "A-B", "A=hush", "A\nhush", "#A", ";A", "hush: hush", "Ä"]:
            with self.assertRaises(ValueError) as refused:
                variables.written({name: "hush"})
            self.assertNotIn("hush", str(refused.exception))
        for value in ["hu\0sh", "hush\ud800"]:
            with self.assertRaises(ValueError) as refused:
                variables.written({"A": value})
            self.assertNotIn("hu", str(refused.exception))

    def test_names_a_wrong_name(self):
        with self.assertRaisesRegex(ValueError, "`1A`"):
            variables.written({"1A": "hush"})


class Showing(unittest.TestCase):
    def test_shows_the_names_that_differ(self):
        shown = variables.difference({"A": "1", "B": "2", "C": PEM}, {"A": "1", "C": "3", "D": "4"})
        self.assertEqual(shown, ("B=(secret)\nC=(secret)\n", "C=(another secret)\nD=(another secret)\n"))

    def test_shows_no_name_that_is_not_certain(self):
        for old, new in [(None, {"A": "1"}), ({"A": "1"}, None), ({"A": "1"}, {"A": "1"})]:
            self.assertEqual(variables.difference(old, new), ("", "(changed)\n"))

    def test_veils_what_sounds_like_a_secret(self):
        diff = '-Environment="DB_PASSWORD=hu sh"\n+api_key = "hush"\n+Environment=MY_TOKEN=hush\n Environment=A=1\n'
        veiled = variables.veiled(diff)
        self.assertNotIn("hu", veiled)
        self.assertIn(" Environment=A=1\n", veiled)
        self.assertEqual(veiled.count("(hidden)"), 3)
        self.assertEqual(variables.veiled(" LoadCredential=token:/etc/token\n"), " LoadCredential=token:/etc/token\n")

    def test_veils_every_line_of_a_multi_line_value(self):
        diff = (
            "--- a\n+++ b\n@@ -1,4 +1,4 @@\n [apps.env]\n-DB_PASSWORD = \"\"\"\n-hush = 1\n-hush\"\"\"\n"
            "+DB_PASSWORD = \"\"\"\n+hush = 2\n+hush\"\"\"\n PORT = 3000\n"
            "@@ -9,4 +9,4 @@\n hushhushhush\n-hushhu==\n+hush=\n [Service]\n Nice=5\n"
        )
        old = '[apps.env]\nDB_PASSWORD = """\nhush = 1\nhush"""\nPORT = 3000\n\n\n\nhushhushhush\nhushhu==\n[Service]\nNice=5\n'
        veiled = variables.veiled(diff, old)
        self.assertNotIn("hush\"", veiled)
        self.assertNotIn("hush = ", veiled)
        self.assertNotIn("hushhu", veiled)
        for line in [" [apps.env]\n", " [Service]\n", " Nice=5\n", "@@ -9,4 +9,4 @@\n"]:
            self.assertIn(line, veiled)

    def test_shows_no_value_of_a_variable(self):
        old = '[[apps]]\nname = "web"\n[apps.env]\nhttp_proxy = "HUSH"\n"A-B" = "x"\n[apps.env_test] # it\nC = 1\n[apps.service]\nNice = 5\n'
        names = variables.named(old)
        self.assertEqual(names, {"http_proxy", "A-B", "C"})
        diff = (
            '--- a\n+++ b\n@@ -1 +1 @@\n [[apps]]\n name = "web"\n-http_proxy = "HU\\"SH"\n+http_proxy="HUSH"\n+"A-B" = "HUSH = 1"\n'
            ' env = { D = "HUSH" }\n+Environment="E=HUSH \\"x"\n Environment=F=HUSH\n Nice = 5\n listen = 3000\n'
        )
        shown = variables.without_values(diff, names)
        self.assertNotIn("SH", shown)
        self.assertEqual(shown.count("(hidden)"), 6)
        for line in [' name = "web"\n', " Nice = 5\n", " listen = 3000\n", '+Environment="E=(hidden)\n']:
            self.assertIn(line, shown)

    def test_shows_no_value_of_a_variable_that_is_written_in_another_way(self):
        old = (
            '[[apps]]\nenv.A = "HUSH"\nenv_test.B = "HUSH"\nenv_file = "/srv/env"\n[ apps.env ]\nC = "HUSH"\n'
            '[apps."env"]\n"D" = "HUSH"\n[apps.env_file]\nE = 1\n'
        )
        names = variables.named(old)
        self.assertEqual(names, {"C", "D"})
        shown = variables.without_values("".join("-%s\n" % line for line in old.splitlines()), names)
        self.assertNotIn("HUSH", shown)
        self.assertIn('-env_file = "/srv/env"\n', shown)

    # The value begins in a line that is not in the diff.
    AMID = 'A = 1\n[apps.env]\nDB_PASSWORD = """\nhush = 1\n# hush 2\n[hush3]\nhush = 4\nhush = 5\nhush"""\n[Service]\nPORT = 1\nNice=5\n'
    AMID_DIFF = (
        "--- a\n+++ b\n@@ -5,3 +5,3 @@\n # hush 2\n-[hush3]\n+[hush6]\n hush = 4\n"
        '@@ -9,4 +9,4 @@\n hush"""\n [Service]\n-PORT = 1\n+PORT = 2\n Nice=5\n'
    )

    def test_veils_a_value_that_begins_before_a_part_of_the_diff(self):
        veiled = variables.veiled(self.AMID_DIFF, self.AMID)
        self.assertNotIn("hush", veiled)
        for line in ["--- a\n", "@@ -5,3 +5,3 @@\n", "-PORT = 1\n", "+PORT = 2\n", " Nice=5\n"]:
            self.assertIn(line, veiled)

    def test_shows_nothing_behind_unknown_lines(self):
        for old in [None, "", self.AMID.replace("hush = 4", "hush = 7")]:
            veiled = variables.veiled(self.AMID_DIFF, old)
            self.assertNotIn("hush", veiled)
            self.assertNotIn("PORT", veiled)
        new = '--- /dev/null\n+++ b\n@@ -0,0 +1,2 @@\n+A = 1\n+DB_PASSWORD = "hush"\n'
        self.assertIn("+A = 1\n", variables.veiled(new))

    def test_a_line_that_looks_like_a_header_of_the_diff_is_veiled(self):
        diff = '--- a\n+++ b\n@@ -1,4 +1,4 @@\n DB_PASSWORD = """\n---- hush\n--- hush\n+++ hush\n++++ hush\n hush"""\n'
        self.assertNotIn("hush", variables.veiled(diff, 'DB_PASSWORD = """\n--- hush\n-- hush\nhush"""\n'))

    def veils(self, *texts, shown=()):
        """Asserts that neither the diff of a new file nor a diff of only its last line shows a part of a secret."""
        for text in texts:
            with self.subTest(text):
                lines = text.split("\n")
                new = "--- /dev/null\n+++ b\n@@ -0,0 +1,%d @@\n" % len(lines) + "".join("+%s\n" % line for line in lines)
                veiled = variables.veiled(new)
                last = "--- a\n+++ b\n@@ -%d +%d @@\n %s\n" % (len(lines), len(lines), lines[-1])
                self.assertNotIn("HUSH", veiled + variables.veiled(last, text))
                for line in shown:
                    self.assertIn("+%s\n" % line, veiled)

    def test_an_escaped_quote_ends_no_value(self):
        self.veils(
            'API_TOKEN = """\nx\\"""\nHUSH=2',
            'API_TOKEN = """\nx\\"""\n# HUSH',
            'API_TOKEN = """\\\nx\\"""\n[HUSH]',
            'API_TOKEN = """a\\"""\nHUSH=2',
        )

    def test_veils_every_string_of_an_array(self):
        value = 'API_TOKEN = [ """\n#HUSH\n""", ' + "'''\n#HUSH\n"
        self.veils(value)
        self.veils(value + "''' ]\n[Service]\nNice=5", shown=["[Service]", "Nice=5"])
        self.veils('args = [\n  "--token",\n  "HUSH=1",\n]\n# HUSH')

    def test_veils_a_secret_behind_a_string_that_names_it(self):
        self.veils(
            'NOTE = """\nAPI_TOKEN = """\nAPI_TOKEN = """\n# HUSH\nHUSH=1',
            "NOTE = '''\nAPI_TOKEN = '''\nAPI_TOKEN = '''\n# HUSH\nHUSH=1",
            'NOTE = """\n#HUSH',
            "'API_TOKEN' = \"\"\"\n#HUSH",
            'NOTE = """\\\nAPI_TOKEN = """\nA=HUSH',
        )

    def test_veils_the_lines_that_continue_a_line(self):
        self.veils(
            'Environment="API_TOKEN=1 \\\n  B=HUSH"',
            'Environment=A=1 \\\n# a comment\n  B=HUSH',
            'Environment=A=1 \\\n  API_TOKEN=2 \\\n\\\n  B=HUSH',
            'SetCredentialEncrypted=a: \\\n  HUSH=',
            'ExecStart=/bin/x --password \\\n  HUSH=1',
        )
        self.veils("ExecStart=/bin/x \\\n  A=HUSH\nNice=5", shown=["Nice=5"])

    def test_a_header_within_a_secret_ends_nothing(self):
        self.veils(
            'API_TOKEN = """\n[Service]\nHUSH=1',
            'API_TOKEN = """\nx\\"""\n[Service]\nHUSH=1',
            'API_TOKEN = [\n"""\n]\n[Service]\nHUSH=1',
            'API_TOKEN = ["""\n""", """\n]\n[Service]\nHUSH=1',
            "Environment=API_TOKEN=1 \\\n[Service]\nA=HUSH",
            'API_TOKEN = """\n[x]\n"""\n[HUSH]',
        )

    def test_veils_secrets_by_further_names(self):
        for line in [
            'DATABASE_URL="postgres://u:HUSH@db/x"',
            'A="redis://:HUSH/HUSH@db"',
            'A="https://HUSH@host/1"',
            'PASSPHRASE = "HUSH"',
            'SENTRY_DSN = "HUSH"',
            "Environment=MY_CREDENTIALS=HUSH",
            "Environment=DB_PASS=HUSH",
            '"my-token-x" = "HUSH"',
            '"my.api-key.x" = "HUSH"',
            "env = { 'a-token-x' = 'HUSH' }",
            'CONFIG = \'{"password": "HUSH"}\'',
            'args = ["--password", "HUSH"]',
            'args = ["--token=HUSH"]',
            "ExecStart=/bin/x --api-key HUSH",
            'ExecStart="/bin/x" "--api-key" "HUSH"',
            "SetCredential=token:HUSH",
        ]:
            self.veils(line)

    def test_shows_ordinary_lines(self):
        lines = (
            '[[apps]]|name = "api"|listen = ["0.0.0.0:3000", "[::]:3000"]|args = ["--port", "80"]|# a comment|[apps.env]'
            "|A = \"it's\"|URL = \"http://localhost:3000/x\""
            "|[Service]|Environment=NODE_ENV=production|MemoryMax=1G|ExecStart=/bin/test [ -f"
            "|LoadCredential=token:/etc/token|PassCredentials=true||WantedBy=multi-user.target"
        ).split("|")
        text = "".join(" %s\n" % line for line in lines)
        self.assertEqual(variables.veiled(text), text)
        self.veils('listen = [\n  "a]",\n  "HUSH=1",\n]\nname = "api"', shown=['name = "api"'])


if __name__ == "__main__":
    unittest.main()
