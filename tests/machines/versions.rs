//! Interpreters of version managers, which systemd does not find by itself.

use testbed::Machine;

use crate::cluster::{ECOSYSTEM, pids};

const BIN: &str = "/home/web/.nvm/versions/node/v20.1.0/bin";

/// Starts a program as `npm start` starts `next` and `vite`: by a first line that asks for `node`, and with children
/// that do so too.
pub(crate) fn of_nvm_run_a_script_and_its_children(machine: &mut Machine) {
    machine
        .sh(&format!(
            "useradd --create-home web; chmod 755 /home/web; mkdir -p {BIN} /home/web/app/node_modules/.bin; mv /usr/bin/node {BIN}/"
        ))
        .ok();
    machine.write(
        "/home/web/app/node_modules/.bin/next",
        "#!/usr/bin/env node\nconst { execSync } = require('child_process');\nconst child = String(execSync('command -v node'));\nrequire('http').createServer((q, a) => a.end(child)).listen(3000);\n",
    );
    machine.write(
        ECOSYSTEM,
        "[[apps]]\nname = \"web\"\ncwd = \"/home/web/app\"\nscript = \"node_modules/.bin/next\"\nlisten = 3000\n",
    );
    machine
        .sh("chmod 755 /home/web/app/node_modules/.bin/next; chown -R web: /home/web")
        .ok();
    // The PATH that sudo(8) gives to commands; nvm adds its own in ~/.bashrc.
    let install = format!("env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin rsgen install {ECOSYSTEM}");
    let said = machine.sh(&install).ok();
    let told = format!("web: uses `{BIN}/node`, whose folder comes first in its `PATH`");
    assert!(said.stdout.contains(&told), "{}", said.stdout);
    let exe = format!("/proc/{}/exe", pids(machine, 1)[0]);
    assert_eq!(
        machine.run(&["readlink", &exe]).ok().text(),
        format!("{BIN}/node")
    );
    let answer = machine.sh("curl -s http://127.0.0.1:3000/").ok();
    assert_eq!(answer.text().trim(), format!("{BIN}/node"));
    npm_starts_it_as_well(machine, &install);
    // The result was written into the file, so nobody searches again.
    machine
        .sh("systemctl daemon-reload && rsgen reload web")
        .ok();
    let again = machine.sh(&install).ok();
    assert!(again.stdout.contains("nothing to do"), "{}", again.stdout);
}

/// Runs the script `start` of package.json in a shell, as npm does, and is found as npm is: beside the Node of its version.
const NPM: &str = "#!/usr/bin/env node
const { scripts } = require(process.cwd() + '/package.json');
require('child_process').spawn('sh', ['-c', scripts[process.argv[2]]], { stdio: 'inherit' });
process.on('SIGINT', () => {});
";

fn npm_starts_it_as_well(machine: &Machine, install: &str) {
    machine.write(&format!("{BIN}/npm"), NPM);
    machine.sh(&format!("chmod 755 {BIN}/npm")).ok();
    let package = "{ \"scripts\": { \"start\": \"exec node_modules/.bin/next\" } }";
    machine.write("/home/web/app/package.json", package);
    let before = machine.read(ECOSYSTEM);
    let by_npm = "script = \"npm\"\nargs = \"start\"";
    let text = before.replace("script = \"node_modules/.bin/next\"", by_npm);
    machine.write(ECOSYSTEM, &text);
    let said = machine.sh(install).ok();
    drop(said.says(&format!("`{BIN}/")));
    let answer = machine.sh("curl -s http://127.0.0.1:3000/").ok();
    assert_eq!(answer.text().trim(), format!("{BIN}/node"));
    machine.write(ECOSYSTEM, &before);
    machine.sh(install).ok();
}
