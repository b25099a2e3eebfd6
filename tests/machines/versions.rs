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
    a_package_json_is_imported_as_the_user_behind_sudo_has_it(machine);
    // The result was written into the file, so nobody searches again.
    machine
        .sh("systemctl daemon-reload && rsgen reload web")
        .ok();
    let again = machine.sh(&install).ok();
    assert!(again.stdout.contains("nothing to do"), "{}", again.stdout);
}

/// Installs the package.json of another folder, as somebody does whose Node is nvm's and whose `sudo` has root's `PATH`. Without that Node,
/// one error names `PATH`.
fn a_package_json_is_imported_as_the_user_behind_sudo_has_it(machine: &Machine) {
    let server = "require('http').createServer((q, a) => a.end('shop')).listen(3001);\n";
    machine.write("/home/web/shop/server.js", server);
    let package = "{ \"name\": \"shop\", \"scripts\": { \"start\": \"node server.js\" } }";
    machine.write("/home/web/shop/package.json", package);
    let sudo = "cd /home/web/shop && chown -R web: . && env -i SUDO_USER=web SUDO_UID=$(id -u web) SUDO_GID=$(id -g web) \
                PATH=/usr/sbin:/usr/bin:/sbin:/bin rsgen install --import package.json";
    machine.sh(sudo).ok().says("shop: uses `/home/web/.nvm/");
    let answer = machine.sh("curl -s http://127.0.0.1:3001/").ok();
    assert_eq!(answer.text().trim(), "shop");
    machine.run(&["rsgen", "uninstall", "shop"]).ok();
    machine
        .sh("rm /home/web/shop/ecosystem.toml; mv /home/web/.nvm /home/web/.gone")
        .ok();
    let refused = machine.sh(sudo);
    assert_ne!(refused.status, 0, "{refused}");
    let told = refused.says("PATH").to_string();
    assert_eq!(told.matches("error").count(), 1, "{told}");
    machine
        .sh("mv /home/web/.gone /home/web/.nvm; rm -f /home/web/shop/ecosystem.toml")
        .ok();
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
