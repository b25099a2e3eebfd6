//! Every line that is written can be read back, and so can the lines of older versions.

mod older;
mod parts;
mod properties;

use super::*;

#[test]
fn specifiers_of_a_directives_value_stay_specifiers() {
    for (value, in_unit) in [
        ("/etc/a.env", "/etc/a.env"),
        ("/etc/%p-%i.env", "/etc/%p-%i.env"),
        ("/etc/100%%.env", "/etc/100%%.env"),
        ("/etc/%%i%i", "/etc/%%i%i"),
        ("/etc/5%", "/etc/5%%"),
        ("/etc/%5%i", "/etc/%%5%i"),
        ("/etc/%%%%i", "/etc/%%%%i"),
        ("%h/a", "%h/a"),
    ] {
        let line = Line::of("x").flag("--a", &Text::with_specifiers(value));
        assert_eq!(line.in_unit(&["w"]).0, format!("w x --a={in_unit}"));
    }
}

#[test]
fn the_line_of_a_template_holds_its_specifiers() {
    let template = Run {
        app: "web".to_owned(),
        instance: Text::specifier('i'),
        state: Text::specifier('t').then(Text::plain("/rsgen/a %i b")),
        handover: Handover::Fds,
        ready: Ready::Exec,
        listen_timeout: std::time::Duration::from_secs(30),
        brake: Policy {
            min_uptime: std::time::Duration::from_secs(1),
            max_restarts: 16,
            backoff: None,
        },
        preload: false,
        rehearsal: None,
        env_files: vec![Text::plain("/a %i"), Text::plain("/b=c")],
        counted: vec!["PORT".to_owned()],
        cpus: Some(Cpus::Spread),
        program: vec!["%i".into()],
    };
    assert_eq!(
        template.line().in_unit(&["w"]).0,
        "w run --app=web --instance=%i \"--state=%t/rsgen/a %%i b\" --handover=fds --ready=exec --listen-timeout=30s --min-uptime=1s --max-restarts=16 --preload=false --cpus=spread \"--env-file=/a %%i\" --env-file=/b=c --counted=PORT -- %%i"
    );
}
