//! What is told while a command works on the manager of a user.

use super::stage::Stage;
use crate::command::of_user::OfUser;
use crate::ecosystem::values::Instances;
use crate::ecosystem::{By, Chosen};
use crate::output::{Notice, Sink};

#[test]
fn commands_in_notices_are_those_for_the_manager_of_a_user() {
    let stage = Stage::running(&[]);
    let sink = OfUser(&stage.sink);
    let chosen = Chosen {
        by: By::Scale,
        instances: Instances::Exactly(8),
        in_place_of: Instances::Exactly(4),
    };
    for notice in [
        Notice::Noted("web", "run `rsgen list web`"),
        Notice::Waiting("web", "see `systemctl list-jobs`"),
        Notice::Remark("see `journalctl -u web`"),
        Notice::Chosen("web", chosen, Instances::Exactly(4)),
        Notice::Starting("web"),
    ] {
        sink.notice(&notice);
    }
    let told = stage.sink.told();
    let chosen = "web: instances = 8, as set by `rsgen --user scale`; the file has 4, which `rsgen --user scale web 4` restores";
    assert_eq!(
        told,
        [
            "web: run `rsgen --user list web`",
            "web: see `systemctl --user list-jobs`",
            "see `journalctl --user -u web`",
            chosen,
            "web: starting",
        ]
    );
}
