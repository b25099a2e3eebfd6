//! Names of units are made and read back.

use proptest::prelude::*;

use super::*;

#[test]
fn every_unit_tells_its_app() {
    let units = Units::of("web.x");
    for whole in [
        units.cluster(),
        units.socket(),
        units.timer(),
        units.reloader(),
        units.watch(),
        units.recycler(),
        units.recycle_timer(),
    ] {
        assert_eq!(owner(&whole), Some(("web.x", None)), "{whole}");
    }
    let joins = units.own_join().replace("%i", "7");
    for own in [units.instance(7), units.listener(7), joins] {
        assert_eq!(owner(&own), Some(("web.x", Some(7))), "{own}");
    }
    for foreign in [
        "web",
        "web.slice",
        "web@.service",
        "web@07.service",
        "rsgen-reload@.service",
        ":watch.service",
    ] {
        assert_eq!(owner(foreign), None, "{foreign}");
    }
}

proptest! {
    #[test]
    fn a_name_says_whose_unit_it_is(app in "[a-zA-Z0-9][a-zA-Z0-9_.-]{0,20}", number in any::<u32>()) {
        prop_assume!(check(&app).is_ok());
        let units = Units::of(&app);
        let member = |unit: &str| {
            parse(unit).filter(|(of, _)| *of == app).map(|(_, member)| member)
        };
        prop_assert_eq!(member(&units.cluster()), Some(Member::Cluster));
        prop_assert_eq!(member(&units.template()), Some(Member::Template));
        prop_assert_eq!(member(&units.instance(number)), Some(Member::Instance(number)));
        prop_assert_eq!(units.number(&units.instance(number)), Some(number));
        for socket in units.sockets() {
            prop_assert_eq!(member(&socket), Some(Member::Socket));
        }
    }

    #[test]
    fn only_the_names_that_are_made_are_read(unit in "(web|we|-b|)@?(0|7|07|\\+7|-1|4294967296|x|)(\\.service|\\.socket|\\.timer|)") {
        let made = parse(&unit).map(|(app, member)| {
            let units = Units::of(app);
            match member {
                Member::Cluster => units.cluster(),
                Member::Socket => units.socket(),
                Member::Template => units.template(),
                Member::Instance(number) => units.instance(number),
            }
        });
        prop_assert!(made.is_none_or(|made| made == unit));
    }
}

#[test]
fn an_instance_of_another_app_has_no_number_here() {
    let web = Units::of("web");
    assert_eq!(web.number("web@3.service"), Some(3));
    for other in [
        "web2@3.service",
        "my-web@3.service",
        "web@.service",
        "web@x.service",
        "web@03.service",
        "web.service",
        "web@3.socket",
        "web@3",
    ] {
        assert_eq!(web.number(other), None, "{other}");
    }
    assert_eq!(parse_service("web@3"), Some(("web", Member::Instance(3))));
    assert_eq!(parse_service("web"), Some(("web", Member::Cluster)));
    assert_eq!(parse_service("web@x"), None);
    for unit in ["-b@1.service", "a b.service", "all.socket"] {
        assert_eq!(parse(unit), None, "{unit}");
    }
}

#[test]
fn several_units_of_an_app_are_named_for_systemd() {
    let web = Units::of("web");
    assert_eq!(web.instances(), "web@*.service");
    assert_eq!(web.whole(), "web.socket web.service");
    assert_eq!(web.scaler(8), "rsgen-scale@web:8.service");
}

#[test]
fn only_what_systemd_takes_as_a_unit_name_is_a_name() {
    let longest = "x".repeat(LONGEST);
    for good in ["web", "my-app_2.0", "A", &longest] {
        assert_eq!(check(good), Ok(()), "{good}");
    }
    for bad in [
        "",
        "web@1",
        "a b",
        "web.service",
        "-x",
        ".x",
        "a/b",
        "ü",
        "a:b",
        "a\nb",
        "%i",
        "all",
        "drain",
        "rsgen-reload",
        "rsgen-scale",
        &"x".repeat(201),
    ] {
        assert!(check(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_manager_and_the_drop_ins_of_a_rehearsal_have_names() {
    assert_eq!(manager_of(1000), "user@1000.service");
    let own = Units::of("web").drop_ins(7).0;
    assert_eq!(own, "web:rehearsal-7@0.service.d");
}
