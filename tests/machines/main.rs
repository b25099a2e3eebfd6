//! What must hold on machines with a real systemd; see `testbed::runner`.

mod cluster;
mod crash;
mod drain;
mod harness;
mod interrupted;
mod power;
mod reload;

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
        reload::replaces_every_instance_in_order_and_loses_nothing,
        reload::tells_its_progress_line_by_line,
        reload::a_build_that_crashes_or_is_never_ready_touches_nothing,
        reload::works_ten_times_in_a_row,
        reload::an_instance_that_fails_twice_stops_it_and_the_rest_keep_their_version,
        reload::brings_the_number_of_instances_to_what_the_file_says,
        reload::starts_an_app_that_is_stopped,
        reload::two_at_once_both_end_well,
        reload::takes_several_at_a_time_and_goes_without_a_canary_when_told,
        interrupted::a_restart_in_the_middle_leaves_exactly_n,
        interrupted::a_stop_in_the_middle_leaves_none,
        interrupted::a_killed_walk_is_finished_by_the_next,
        interrupted::a_killed_command_leaves_the_walk_alone,
        interrupted::a_daemon_reload_in_the_middle_is_survived,
        interrupted::a_daemon_reexec_in_the_middle_is_survived,
        power::a_restart_keeps_the_listener,
        power::seven_quick_restarts_close_nothing,
        power::a_stop_returns_when_all_are_gone_and_the_port_is_closed,
        power::the_first_connection_starts_the_cluster,
        power::instances_stopped_by_hand_do_not_swallow_connections,
        power::one_instance_is_stopped_started_and_restarted_by_its_name,
        power::stopping_the_socket_stops_the_app,
        crash::one_that_loops_is_given_up_and_the_others_serve,
        crash::all_that_crash_at_their_start_fail_the_cluster_and_leave_the_port_open,
        crash::the_last_one_given_up_fails_the_cluster_with_a_reason,
        crash::killed_ones_come_back,
        crash::what_systemd_cannot_execute_is_not_tried_again,
        drain::a_program_with_an_event_loop_loses_nothing,
        drain::a_program_that_polls_loses_nothing,
        drain::a_program_with_threads_in_accept_loses_nothing,
        drain::a_program_of_many_processes_loses_nothing,
    ])
}
