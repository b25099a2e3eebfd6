//! Reads a Procfile, in which each line is a name and a shell command line.

use super::value::{Table, Value};

/// Returns the processes as PM2 would describe them, and comments about the lines that are left out.
pub(super) fn read(text: &str) -> (Vec<Table>, Vec<String>) {
    let mut apps = Vec::new();
    let mut left = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((name, command)) = line.split_once(':').map(|(n, c)| (n.trim(), c.trim())) else {
            left.push(format!("{line}: not a line of the form `NAME: COMMAND`"));
            continue;
        };
        if name == "release" {
            left.push(format!(
                "{line}: to be run once per release; run it before `rsgen install`"
            ));
            continue;
        }
        let text = |text: &str| Value::Text(text.to_owned());
        let mut app = vec![
            ("name".to_owned(), text(name)),
            ("script".to_owned(), text(command)),
        ];
        if name == "web" && command.contains("PORT") {
            let port = ("PORT".to_owned(), Value::Number("5000".to_owned()));
            app.push(("env".to_owned(), Value::Table(vec![port])));
            left.push("PORT is 5000 in the process `web`, foreman's default".to_owned());
        }
        apps.push(app);
    }
    (apps, left)
}
