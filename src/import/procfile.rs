//! A Procfile, in which each line is a name and the command line of a shell.

use super::value::{Table, Value};

/// The processes as PM2 would describe them, and what is left out.
pub(super) fn read(text: &str) -> (Vec<Table>, Vec<String>) {
    let mut apps = Vec::new();
    let mut left = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((name, command)) = line.split_once(':').map(|(n, c)| (n.trim(), c.trim())) else {
            left.push(format!(
                "{line}: it is no line of a Procfile, `NAME: COMMAND`"
            ));
            continue;
        };
        if name == "release" {
            left.push(format!(
                "{line}: it runs once for each release; run it before `rsgen install`"
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
            left.push("PORT is 5000 in the process `web`, as foreman has it".to_owned());
        }
        apps.push(app);
    }
    (apps, left)
}
