//! Every spec, in the order in which they run: those that take long come first, so that at the end no processor waits for one.

use testbed::runner::Spec;
use testbed::specs;

use crate::{
    asked, balance, between, crash, deploy, directives, docs, drain, edit, ends, entrance,
    env_files, environment, exposure, faults, first, from_pm2, harness, hostile, init, install,
    interrupted, jobs, logs, monit, moving, newcomer, own, owner, packaged, packages, pause,
    polkit, portless, power, programs, prometheus, prune, recycle, rehearsal, release, reload,
    remote, sandbox, schedule, see, seldom, shown, sizing, state, tracing, truth, twelve, unmet,
    user, values, versions, watch, yama,
};

/// Every spec.
pub(crate) fn all() -> Vec<Spec> {
    [
        harness::SPECS,
        programs::SPECS,
        twelve::SPECS,
        JOBS,
        SANDBOX,
        SHOWN,
        ENDS,
        PACKAGES,
        docs::SPECS,
        USER,
        DRAIN,
        REHEARSAL,
        RELOAD,
        balance::SPECS,
        asked::SPECS,
        entrance::SPECS,
        CRASH,
        power::SPECS,
        SCHEDULE,
        SEE,
        recycle::SPECS,
        pause::SPECS,
        HOSTILE,
        tracing::SPECS,
        INSTALL,
        logs::SPECS,
        DEPLOY,
        edit::SPECS,
        release::SPECS,
        prune::SPECS,
        INTERRUPTED,
        watch::SPECS,
        INIT,
        FAULTS,
        POLKIT,
        remote::SPECS,
        yama::SPECS,
        PORTLESS,
        from_pm2::SPECS,
        newcomer::SPECS,
        first::SPECS,
        SIZING,
        TRUTH,
        unmet::SPECS,
        EXPOSURE,
        STATE,
        OWN,
        OWNER,
        seldom::SPECS,
        ENVIRONMENT,
        VALUES,
        DIRECTIVES,
    ]
    .concat()
}

const SEE: &[Spec] = specs![
    see::the_list_counts_connections_and_goes_on_until_a_key_is_pressed,
    monit::watches_reloads_and_scales_by_keys_and_gives_the_terminal_back,
    monit::apps_of_an_ordinary_user_are_watched_and_reloaded_below_the_users_manager,
    prometheus::answers_every_query_of_the_dashboard,
];

const ENVIRONMENT: &[Spec] = specs![
    environment::never_reaches_what_runs_as_root,
    environment::finds_no_capability_in_the_worker,
    environment::that_has_a_umask_and_limits_spoils_no_state,
];

const ENDS: &[Spec] = specs![
    ends::of_every_kind_are_counted_and_told,
    ends::without_a_file_of_variables_name_the_file,
    ends::that_systemd_refuses_once_the_app_is_up_are_bounded,
    ends::for_want_of_a_usable_unit_are_told_as_that,
    ends::are_remembered_until_the_app_is_uninstalled,
    ends::of_a_start_whose_port_is_taken_name_the_socket,
    ends::that_take_their_time_are_not_awaited_in_silence,
    ends::are_told_with_the_message_that_stands_above_the_stack,
];

const REHEARSAL: &[Spec] = specs![
    rehearsal::one_that_cannot_be_corrected_keeps_no_other_from_it,
    rehearsal::finds_the_address_whoever_has_it_and_is_not_repeated,
    rehearsal::is_over_when_its_command_is_killed,
    rehearsal::a_port_alone_is_bound_as_the_program_binds_it,
    rehearsal::a_further_port_is_told_at_the_first_start,
    rehearsal::counts_what_drop_ins_add,
    rehearsal::of_several_apps_go_on_at_the_same_time,
    rehearsal::a_program_reports_no_path_of_others,
];

const RELOAD: &[Spec] = specs![
    reload::replaces_every_instance_in_order_and_loses_nothing,
    reload::tells_its_progress_line_by_line,
    reload::a_build_that_crashes_or_is_never_ready_touches_nothing,
    reload::works_ten_times_in_a_row,
    reload::an_instance_that_fails_twice_stops_it_and_the_rest_keep_their_version,
    reload::brings_the_number_of_instances_to_what_the_file_says,
    reload::starts_an_app_that_is_stopped,
    reload::two_at_once_both_end_well,
    reload::takes_several_at_a_time_and_goes_without_a_canary_when_told,
    reload::a_canary_stays_until_it_is_promoted_or_aborted,
    reload::doubles_the_app_for_a_while_and_goes_on_after_a_failure_when_told,
];

const INTERRUPTED: &[Spec] = specs![
    interrupted::a_restart_in_the_middle_leaves_exactly_n,
    interrupted::a_stop_in_the_middle_leaves_none,
    interrupted::a_killed_walk_is_finished_by_the_next,
    interrupted::a_killed_command_leaves_the_walk_alone,
    interrupted::a_daemon_reload_in_the_middle_is_survived,
    interrupted::a_bus_that_hangs_delays_the_next_start_of_an_instance_for_a_moment_only,
    interrupted::a_daemon_reexec_in_the_middle_is_survived,
    moving::an_address_is_added_and_another_closed_without_a_loss,
    moving::what_cannot_be_moved_changes_nothing,
    moving::a_move_that_was_killed_is_ended_by_the_same_command,
];

const JOBS: &[Spec] = specs![
    jobs::an_app_that_asks_for_time_without_end_is_stopped_in_time,
    jobs::one_instance_of_it_is_stopped_in_time_too,
    jobs::a_reload_and_a_restart_replace_it,
    jobs::the_machine_goes_down_in_time_with_it,
    jobs::nobody_but_systemd_says_that_one_has_ended,
    jobs::with_units_of_an_older_version_it_is_stopped_as_well,
    jobs::one_that_asks_for_time_at_its_start_holds_up_nobody,
    jobs::a_walk_whose_jobs_are_cancelled_replaces_all_and_loses_nothing,
    jobs::a_walk_goes_on_when_its_own_job_is_cancelled_once,
    jobs::starts_and_stops_whose_jobs_are_cancelled_come_to_their_end,
];

const CRASH: &[Spec] = specs![
    crash::one_that_loops_is_given_up_and_the_others_serve,
    crash::all_that_crash_at_their_start_fail_the_cluster_and_a_start_that_opened_the_port_closes_it,
    crash::the_last_one_given_up_fails_the_cluster_with_a_reason,
    crash::the_pause_grows_when_told,
    crash::killed_ones_come_back,
    crash::killed_ones_with_listeners_of_their_own_come_back,
    crash::what_systemd_cannot_execute_is_not_tried_again,
];

const DRAIN: &[Spec] = specs![
    drain::a_program_with_an_event_loop_loses_nothing,
    drain::a_program_that_polls_loses_nothing,
    drain::a_program_with_threads_in_accept_loses_nothing,
    drain::one_whose_threads_were_passed_the_socket_loses_nothing,
    drain::one_that_listens_on_a_file_loses_nothing,
    drain::a_program_of_many_processes_loses_nothing,
    drain::a_node_program_loses_nothing_on_connections_that_are_kept,
    drain::a_session_of_http2_is_told_to_end,
    drain::an_upgraded_connection_is_left_until_the_time_is_over,
    drain::a_node_program_keeps_options_of_its_own,
    drain::a_machine_that_goes_down_is_kept_up_for_no_more_than_three_seconds,
    drain::a_node_program_is_sent_the_message_shutdown,
    drain::an_event_loop_is_drained_without_being_stopped,
    drain::a_program_with_a_filter_of_its_own_is_not_killed_by_it,
    drain::a_program_that_is_traced_loses_nothing,
    drain::a_request_that_takes_long_is_finished,
    drain::one_that_takes_too_long_is_cut_and_said,
    drain::a_connection_that_waits_for_nothing_does_not_hold_it_up,
    drain::a_second_request_to_stop_cuts_it_short,
    drain::nothing_is_accepted_any_more,
    drain::an_instance_that_is_not_ready_yet_is_left_until_it_is,
    between::what_was_received_was_answered,
    between::of_many_threads_in_accept_none_accepts_any_more,
    between::what_many_threads_in_accept_received_they_answered,
    between::a_program_that_ends_by_itself_is_told_by_a_signal,
];

const INIT: &[Spec] = specs![
    init::meets_no_child_but_its_own,
    init::is_stopped_while_it_is_paused_after_a_crash,
    init::with_an_event_loop_loses_nothing,
    init::with_threads_in_accept_loses_nothing,
    init::that_was_passed_the_socket_loses_nothing,
    init::of_many_processes_loses_nothing,
];

const FAULTS: &[Spec] = specs![
    faults::of_an_installed_app_take_nothing_away,
    faults::of_a_generated_apps_file_take_nothing_away,
    faults::of_the_bus_are_waited_for_once_by_a_stop,
];

const HOSTILE: &[Spec] = specs![
    hostile::a_stranger_with_the_number_of_a_thread_is_left_alone,
    hostile::whatever_a_program_makes_of_itself_its_stop_is_short,
    hostile::a_socket_that_others_share_is_never_made_unreachable,
    hostile::a_helper_is_out_of_reach_of_its_programs_user,
    hostile::a_helper_stays_small_whatever_is_sent_to_it,
    hostile::a_full_queue_loses_nothing,
];

const INSTALL: &[Spec] = specs![
    install::twice_is_once,
    install::a_dry_run_shows_the_difference_and_changes_nothing,
    install::a_changed_file_is_shown_and_applied_by_a_walk,
    install::drop_ins_count_from_the_first_install_on,
    install::a_drop_in_that_brings_a_limit_back_is_refused,
    install::a_change_whose_canary_fails_is_taken_back,
    install::an_address_is_closed_first_only_when_told,
    install::without_permission_it_says_so_and_does_nothing,
    install::a_name_or_an_address_that_is_taken_is_refused,
    install::uninstall_removes_what_install_wrote_and_nothing_else,
    install::several_apps_some_of_them_and_a_script_alone,
    install::an_unprivileged_user_serves_port_80,
    install::json_tells_what_becomes_of_files_and_processes,
    install::a_walk_that_ended_half_way_is_finished_by_the_next_install,
];

const DEPLOY: &[Spec] = specs![
    deploy::serves_new_code_though_the_file_is_as_it_was,
    deploy::and_a_reload_of_a_file_apply_what_was_edited,
    deploy::follows_the_link_to_the_release_or_tells_that_it_does_not,
    deploy::by_systemctl_keeps_the_units_and_says_so,
];

const SANDBOX: &[Spec] = specs![
    sandbox::is_what_the_page_says,
    sandbox::a_kernel_that_cannot_is_told_by_check,
    sandbox::the_units_own_leaves_out_what_the_page_says,
];

const EXPOSURE: &[Spec] = specs![
    exposure::is_what_the_page_says,
    exposure::a_directive_of_ones_own_takes_the_place_of_the_sandboxs,
    exposure::the_program_has_no_capability_of_the_helpers,
    exposure::a_filter_that_forbids_to_drop_it_is_survived,
    exposure::the_worker_sees_the_brake_from_within,
    exposure::the_cluster_unit_gets_by_with_little,
    exposure::the_cluster_unit_may_not_touch_the_rest,
    exposure::the_state_of_one_app_is_not_that_of_another,
    exposure::settings_that_reach_too_far_are_told_by_check_and_install,
];

const SHOWN: &[Spec] = specs![
    shown::the_last_words_of_a_start_are_made_visible,
    shown::the_last_words_of_a_reload_are_made_visible,
    shown::a_reason_in_the_list_is_made_visible,
    shown::a_status_that_a_program_forges_is_made_visible,
    shown::names_and_values_are_made_visible,
    shown::worker_and_generator_write_one_line_for_each_fault,
    shown::colours_are_those_of_rsgen_alone,
    shown::words_that_the_journal_could_give_to_no_run_are_seen,
    shown::words_of_a_cluster_unit_that_journald_could_not_look_up_are_seen,
    shown::a_users_unit_of_the_same_name_has_no_say_in_a_start,
    shown::a_forged_invocation_has_no_say_in_a_reload,
    shown::a_journal_that_hangs_or_floods_holds_nothing_up,
];

const SIZING: &[Spec] = specs![
    sizing::four_instances_answer_on_one_port_with_their_numbers,
    sizing::the_command_line_beats_the_file,
    sizing::scaling_adds_and_drains_and_leaves_the_others_alone,
    sizing::after_a_boot_it_serves_and_fits_the_machine,
    sizing::a_bigger_machine_gets_more_than_was_pinned,
    sizing::a_file_that_a_package_drops_is_an_app,
    sizing::the_first_install_of_an_app_that_a_file_has_brought_loses_nothing,
];

const STATE: &[Spec] = specs![
    state::whoever_holds_what_may_be_opened_does_not_delay_a_reload,
    state::the_umask_of_an_app_is_not_that_of_its_state,
    state::what_others_planted_before_an_upgrade_is_cleared_away,
    state::a_pipe_in_the_place_of_an_apps_file_hangs_nobody,
];

const PACKAGES: &[Spec] = specs![
    packages::bring_what_units_and_people_need,
    packages::an_upgrade_under_load_touches_no_instance,
    packages::units_of_an_older_version_work_until_they_are_written_anew,
    packages::are_not_removed_while_an_app_is_installed_and_then_leave_nothing,
    packages::of_rpm_are_installed_upgraded_verified_and_erased,
    packaged::units_of_a_package_are_upgraded_by_a_reload_and_overridden_in_etc,
    packaged::an_ecosystem_file_of_a_package_is_an_app_that_etc_changes_and_masks,
    packaged::a_file_alone_is_an_app_as_soon_as_it_is_unpacked,
];

const POLKIT: &[Spec] = specs![
    polkit::a_member_reloads_and_loses_nothing,
    polkit::a_member_restarts_it_and_starts_it_where_it_is_stopped,
    polkit::everything_else_is_refused,
    polkit::who_is_no_member_is_refused_everything,
    polkit::a_reload_by_rsgen_is_for_root,
    polkit::nothing_runs_in_the_name_of_an_app_that_is_not_there,
    polkit::a_member_scales_it_as_root_does_and_loses_nothing,
    polkit::what_a_member_may_not_scale_is_refused_and_what_fails_is_told,
    polkit::members_who_scale_at_once_leave_a_whole_number,
    polkit::members_who_add_one_at_once_each_add_one,
];

const PORTLESS: &[Spec] = specs![
    portless::a_consumer_of_a_queue_is_reloaded_and_ends_the_job_in_hand,
    portless::a_port_is_given_up_and_taken_again_when_told,
    portless::a_program_that_ends_at_once_has_not_been_started,
    portless::a_program_that_nothing_starts_again_has_done_its_work_or_failed,
    portless::a_node_program_says_when_it_is_ready_and_is_told_to_shut_down,
    portless::one_that_says_when_it_is_ready_is_waited_for,
    portless::two_that_fail_side_by_side_are_told_in_their_own_words,
];

const SCHEDULE: &[Spec] = specs![
    schedule::an_app_is_reloaded_at_set_times_and_loses_nothing,
    schedule::a_timer_comes_and_goes_with_the_key,
    schedule::a_job_is_run_at_once_by_hand_and_tells_how_it_went,
    schedule::a_job_has_one_run_at_a_time_until_it_is_stopped,
    schedule::an_app_that_lasts_becomes_a_job_and_a_job_an_app_that_lasts,
];

const VALUES: &[Spec] = specs![
    values::arrive_byte_for_byte,
    values::that_no_unit_can_hold_are_refused,
    values::make_units_without_fault,
    values::of_limits_that_nothing_enforces_are_told,
    env_files::are_known_as_systemd_knows_them,
    env_files::give_a_program_the_same_by_worker_and_by_systemd,
    env_files::hold_up_no_manager_when_they_are_pipes,
    env_files::below_a_folder_with_an_acl_are_read_by_the_worker,
    env_files::show_the_program_nothing_that_only_root_may_read,
    env_files::reach_the_program_and_nothing_before_it,
    env_files::of_root_alone_are_read_by_systemd,
    env_files::of_apps_that_are_generated_are_looked_at_where_nothing_hangs,
];

const DIRECTIVES: &[Spec] = specs![
    directives::of_this_systemd_are_all_in_the_list,
    directives::are_refused_only_for_values_that_this_systemd_ignores,
    directives::that_this_systemd_ignores_are_told_by_check_and_that_it_has_are_not,
];

const TRUTH: &[Spec] = specs![
    truth::of_an_instance_that_fails_while_others_serve,
    truth::of_targets_that_mean_nothing,
    truth::in_the_manager_of_a_user_as_well,
];

const USER: &[Spec] = specs![
    user::where_it_listens_is_found,
    user::an_ordinary_user_has_a_cluster,
    user::a_sandbox_needs_no_privileges,
    user::one_whose_threads_wait_in_accept_is_drained_as_well,
    user::schedules_are_kept,
    user::under_yama_the_helper_drains,
    user::the_helpers_drain_is_cut_short_as_well,
];

const OWN: &[Spec] = specs![own::main_pid_status_signals_core_and_watchdog];

const OWNER: &[Spec] = specs![
    owner::runs_an_app_without_a_user_until_install_is_run_again,
    owner::does_not_replace_root_in_an_app_that_was_installed_as_roots,
    versions::of_nvm_run_a_script_and_its_children,
];
