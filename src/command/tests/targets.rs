//! The meaning of the words on a command line.

use super::stage::{HOST, Recorder, Stage};
use crate::command::context::Context;
use crate::command::logs;
use crate::command::options::Targets;
use crate::command::targets::{Target, each, known, resolve};
use crate::output::{Exit, Failure};
use crate::systemd::fake::Fake;

/// Returns a host on which these apps are installed.
fn with(apps: &[&str]) -> Stage {
    let stage = Stage::running(&[]);
    for app in apps {
        let text = format!("[[apps]]\nname = \"{app}\"\nscript = \"/srv/x\"\nlisten = 1\n");
        std::fs::write(stage.layout.file(app), text).unwrap();
    }
    stage
}

/// Returns the targets by the names that messages use.
fn found(stage: &Stage, words: &[&str], only: &[&str]) -> Result<Vec<String>, Failure> {
    let sink = Recorder::default();
    let systemd = Box::new(Fake::default());
    let mut context = Context::of_a_test(stage.layout.clone(), HOST, &sink, systemd);
    let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    let arguments = Targets {
        targets: owned(words),
        only: owned(only),
    };
    let targets = resolve(&mut context, &arguments, "start")?;
    Ok(targets.iter().map(Target::to_string).collect())
}

fn help(stage: &Stage, word: &str) -> (Exit, String) {
    let failure = found(stage, &[word], &[]).unwrap_err();
    (failure.exit, failure.help.unwrap_or_default())
}

#[test]
fn a_target_is_an_app_an_instance_or_all_and_each_is_one_target_once() {
    let stage = with(&["api", "web"]);
    assert_eq!(known(&stage.layout), ["api", "web"]);
    for (words, targets) in [
        (&["web"][..], &["web"][..]),
        (&["web.service"], &["web"]),
        (&["web@1"], &["web@1"]),
        (&["web@1.service"], &["web@1"]),
        (&["all"], &["api", "web"]),
        (&["web", "api", "web", "web@0"], &["web", "api", "web@0"]),
    ] {
        assert_eq!(found(&stage, words, &[]).unwrap(), targets, "{words:?}");
    }
}

#[test]
fn a_word_without_a_meaning_is_answered_with_what_to_write() {
    let stage = with(&["api", "web"]);
    for (word, exit, said) in [
        ("webb", Exit::Failed, "did you mean `web`?"),
        ("shop", Exit::Failed, "installed are api, web"),
        (
            "3",
            Exit::Failed,
            "names take the place of PM2's numbers: installed are api, web, and an instance is written `api@0`; `rsgen list` shows them",
        ),
        ("web@x", Exit::Usage, "write one as `APP@0`"),
        ("web.timer", Exit::Failed, "did you mean `web`?"),
        ("shop@1", Exit::Failed, "installed are api, web"),
    ] {
        assert_eq!(help(&stage, word), (exit, said.to_owned()), "{word}");
    }
    let install = "install one with `rsgen install ecosystem.toml`";
    for word in ["shop", "0"] {
        assert_eq!(help(&with(&[]), word).1, install);
    }
    let of_one = help(&with(&["web"]), "1").1;
    assert!(of_one.ends_with("an instance is written `web@1`, all of them are `web`"));
}

#[test]
fn a_file_means_its_apps() {
    let stage = with(&["api", "web"]);
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, apps: &[&str]| {
        let app = |app: &&str| format!("[[apps]]\nname = \"{app}\"\nscript = \"x\"\n");
        let text: Vec<String> = apps.iter().map(app).collect();
        let path = folder.path().join(name);
        std::fs::write(&path, text.concat()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let both = write("both", &["web", "api"]);
    assert_eq!(found(&stage, &[&both], &[]).unwrap(), ["web", "api"]);
    assert_eq!(found(&stage, &[&both], &["api"]).unwrap(), ["api"]);
    let failure = found(&stage, &[&both], &["api", "shop"]).unwrap_err();
    let message = format!("`{both}` has no app `shop`");
    assert_eq!((failure.exit, failure.message), (Exit::Usage, message));

    let other = write("other", &["web", "shop"]);
    let install = format!("run `rsgen install {other}`, which starts it as well");
    assert_eq!(help(&stage, &other), (Exit::Failed, install));
    let broken = write("broken", &["a b"]);
    let failure = found(&stage, &[&broken], &[]).unwrap_err();
    assert_eq!(failure.exit, Exit::Invalid);
}

#[test]
fn a_name_with_the_ending_of_a_file_is_that_of_a_file() {
    let stage = with(&["web"]);
    for word in ["rsgen-nowhere.toml", "./web", "rsgen-nowhere.config.js"] {
        let failure = found(&stage, &[word], &[]).unwrap_err();
        assert_eq!(failure.exit, Exit::Invalid, "{word}: {}", failure.message);
    }
}

/// What uninstalling a file with an app that is not installed does.
#[test]
fn what_is_installed_is_told_apart_from_what_is_not() {
    let stage = with(&["web"]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("eco.toml");
    let text = ["web", "ghost"].map(|app| format!("[[apps]]\nname = \"{app}\"\nscript = \"x\"\n"));
    std::fs::write(&file, text.concat()).unwrap();
    let file = file.to_str().unwrap();
    let told = |verb: &str, words: &[&str]| {
        let sink = Recorder::default();
        let systemd = Box::new(Fake::default());
        let mut context = Context::of_a_test(stage.layout.clone(), HOST, &sink, systemd);
        let arguments = Targets {
            targets: words.iter().map(|&word| word.to_owned()).collect(),
            only: Vec::new(),
        };
        each(&mut context, &arguments, verb).map(|all| {
            let all = all.into_iter().map(|target| match target {
                Ok(target) => target.to_string(),
                Err(failure) => format!("{}; {}", failure.message, failure.help.unwrap()),
            });
            all.collect::<Vec<_>>()
        })
    };
    let ghost = "no app `ghost` is installed; ";
    for (verb, help) in [
        (
            "uninstall",
            "there is nothing to uninstall; `rsgen list` shows what is installed".to_owned(),
        ),
        (
            "stop",
            "there is nothing to stop; `rsgen list` shows what is installed".to_owned(),
        ),
        (
            "start",
            format!("run `rsgen install {file}`, which starts it as well"),
        ),
        ("reload", format!("run `rsgen deploy {file}`")),
    ] {
        let all = told(verb, &[file]).unwrap();
        assert_eq!(all, ["web".to_owned(), format!("{ghost}{help}")], "{verb}");
    }
    let all = told("uninstall", &["ghost", "web", "web"]).unwrap();
    assert_eq!(all, [&format!("{ghost}installed are web"), "web"]);
    // A wrong command line is no app of a host.
    let wrong = told("uninstall", &["web", "web@x"]).unwrap_err();
    assert_eq!(wrong.exit, Exit::Usage);
}

/// The script of PM2 may be a program, as in `pm2 start npm -- start`.
#[test]
fn a_program_in_place_of_an_app_is_answered_with_its_install_unless_an_app_is_nearly_called_so() {
    let told = |apps: &[&str], verb: &str, words: &[&str]| {
        let (stage, sink) = (with(apps), Recorder::default());
        let systemd = Box::new(Fake::default());
        let mut context = Context::of_a_test(stage.layout.clone(), HOST, &sink, systemd);
        let arguments = Targets {
            targets: words.iter().map(|&word| word.to_owned()).collect(),
            only: Vec::new(),
        };
        let mut all = each(&mut context, &arguments, verb).unwrap();
        all.remove(0).unwrap_err().help.unwrap()
    };
    let install = "to make an app of the program, run `rsgen install sleep --name NAME";
    assert_eq!(told(&["web"], "start", &["sleep"]), format!("{install}`"));
    let behind = told(&["web"], "restart", &["sleep", "1", "2"]);
    assert_eq!(behind, format!("{install} -- 1 2`"));
    assert_eq!(
        told(&["sleeps"], "start", &["sleep"]),
        "did you mean `sleeps`?"
    );
    let stop = told(&["web"], "stop", &["sleep"]);
    assert_eq!(stop, "installed are web");
}

#[test]
fn the_file_of_an_instance_is_told_with_the_number_of_that() {
    let (stage, sink) = (Stage::running(&[]), Recorder::default());
    stage.write_app("listen = 1\n[apps.service]\nStandardOutput = \"append:/l/%i.log\"\n");
    let systemd = Box::new(Fake::default());
    let context = Context::of_a_test(stage.layout.clone(), HOST, &sink, systemd);
    for target in [Target::Instance("web".into(), 2), Target::App("web".into())] {
        logs::tell_file(&context, &target);
    }
    let [of_one, of_all] = sink.told().try_into().unwrap();
    assert!(of_one.ends_with("run `tail /l/2.log`"), "{of_one}");
    assert!(of_all.ends_with("run `tail /l/*.log`"), "{of_all}");
}
