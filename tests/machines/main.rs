//! What must hold on machines with a real systemd; see `testbed::runner`.

mod harness;

use std::process::ExitCode;

fn main() -> ExitCode {
    testbed::runner::main(testbed::specs![
        harness::boots_a_whole_system,
        harness::leaves_nothing_on_the_host,
        harness::keeps_its_disk_through_a_power_cycle,
        harness::sees_as_many_cpus_as_it_is_given,
        harness::serves_traffic_from_outside,
        harness::serves_traffic_on_a_socket_file,
        harness::has_rsgen_where_make_installs_it,
    ])
}
