//! The steps that follow from the traffic of a connection, look after look.

use super::*;

const LOOK: Duration = Duration::from_millis(20);

/// A connection that is looked at every 20 ms.
struct Watched {
    turns: Turns,
    traffic: Traffic,
    now: Instant,
}

fn ms(time: u64) -> Duration {
    Duration::from_millis(time)
}

impl Watched {
    fn begin() -> Self {
        let traffic = Traffic {
            received: 100,
            sent: 100,
            since_received: ms(4),
            ..Traffic::default()
        };
        let now = Instant::now();
        let turns = Turns::begin(traffic, now);
        Self {
            turns,
            traffic,
            now,
        }
    }

    /// Looks after 20 ms in which the connection had this traffic, and takes the resulting step, if any.
    fn look(&mut self, change: impl FnOnce(&mut Traffic), moment: Moment) -> Step {
        self.now += LOOK;
        self.traffic.since_received += LOOK;
        self.traffic.since_sent += LOOK;
        self.traffic.since_acknowledged += LOOK;
        change(&mut self.traffic);
        self.turns.look(self.traffic, self.now);
        let step = self.turns.step(self.now, moment, self.turns.is_in_parts());
        self.turns.took(step);
        step
    }

    fn quiet(&mut self) -> Step {
        self.look(|_| {}, Moment::Early)
    }

    /// The same in the last moments of the drain.
    fn at_last(&mut self, change: impl FnOnce(&mut Traffic)) -> Step {
        self.look(change, Moment::Last)
    }

    /// Lets a client send requests without a pause for this time, and returns the steps that were taken.
    fn busy(&mut self, time: Duration) -> Vec<Step> {
        let looks = time.as_millis() / LOOK.as_millis();
        let steps = (0..looks).map(|_| self.look(turn, Moment::Early));
        steps.filter(|step| *step != Step::Leave).collect()
    }

    /// Lets a client pause for this long before each request.
    fn pausing(&mut self, pause: Duration, requests: usize) -> Vec<Step> {
        let looks = pause.as_millis() / LOOK.as_millis();
        let mut steps = Vec::new();
        for _ in 0..requests {
            steps.push(self.look(turn, Moment::Early));
            steps.extend((0..looks).map(|_| self.quiet()));
        }
        steps.retain(|step| *step != Step::Leave);
        steps
    }
}

/// A request and its answer.
fn turn(t: &mut Traffic) {
    t.received += 10;
    t.sent += 10;
    t.acknowledged += 10;
    t.segments += 2;
    t.data_segments += 1;
    t.since_received = ms(8);
    t.since_acknowledged = ms(8);
    t.since_sent = ms(4);
}

/// A request that is being answered.
fn request(t: &mut Traffic) {
    t.received += 10;
    t.segments += 1;
    t.data_segments += 1;
    t.since_received = ms(1);
    t.since_acknowledged = ms(1);
}

fn answer(t: &mut Traffic) {
    t.sent += 10;
    t.since_sent = ms(1);
}

fn held_back(t: &mut Traffic) {
    t.drops += 1;
}

#[test]
fn a_segment_that_the_kernel_drops_is_no_request() {
    let mut one = Watched::begin();
    assert_eq!(one.at_last(turn), Step::Hold(Starts::Any));
    // Data and acknowledgements that came before are counted, and dropped.
    let old = |t: &mut Traffic| {
        t.drops += 1;
        t.segments += 1;
    };
    assert_eq!(one.at_last(old), Step::Leave);
    let twice = |t: &mut Traffic| {
        old(t);
        t.data_segments += 1;
    };
    assert_eq!(one.at_last(twice), Step::Leave);
    assert_eq!(one.at_last(held_back), Step::Refuse);
}

/// Such a client may stop asking by itself before the drain has to end.
#[test]
fn a_client_without_a_long_pause_is_left_alone_until_the_end() {
    let mut one = Watched::begin();
    assert_eq!(one.busy(ms(5000)), []);
    assert_eq!(one.pausing(ms(900), 5), []);
}

#[test]
fn at_the_end_a_client_is_refused_after_its_answer() {
    let mut one = Watched::begin();
    one.busy(ms(600));
    assert_eq!(one.at_last(request), Step::Hold(Starts::Any));
    assert_eq!(one.at_last(|_| {}), Step::Leave, "it computes");
    assert_eq!(one.at_last(answer), Step::Leave, "there may be more");
    assert_eq!(one.at_last(held_back), Step::Refuse);
    assert_eq!(one.at_last(|_| {}), Step::Shut, "it has not closed it");
    assert_eq!(one.at_last(|_| {}), Step::Leave);
}

#[test]
fn an_answer_in_the_same_tick_as_its_request_is_proven_by_the_next_request() {
    let mut one = Watched::begin();
    one.at_last(turn);
    let step = one.at_last(|t| {
        turn(t);
        held_back(t);
        t.since_sent = t.since_received;
    });
    assert_eq!(step, Step::Refuse);
}

#[test]
fn a_client_that_pauses_is_given_an_end_in_a_pause() {
    let mut one = Watched::begin();
    assert_eq!(one.pausing(ms(1200), 2), [Step::Hold(Starts::Safe)]);
    assert_eq!(
        one.look(held_back, Moment::Early),
        Step::Release,
        "it asks again"
    );
    assert_eq!(one.quiet(), Step::Leave, "and its request has yet to come");
    assert_eq!(one.pausing(ms(1200), 1), [Step::End]);
    assert_eq!(one.quiet(), Step::Leave);
}

#[test]
fn a_pause_in_an_answer_is_no_pause_of_the_client() {
    let mut one = Watched::begin();
    one.pausing(ms(1200), 2);
    one.look(request, Moment::Early);
    one.look(answer, Moment::Early);
    for _ in 0..4 {
        one.quiet();
    }
    one.look(answer, Moment::Early);
    assert!(one.turns.is_in_parts());
    assert_eq!(one.look(held_back, Moment::Early), Step::Release);
    let next = one.pausing(ms(1200), 1);
    assert_eq!(next, [], "the next answer may pause as well");
}

#[test]
fn what_is_no_request_is_let_through() {
    let mut one = Watched::begin();
    one.at_last(turn);
    // The body of an upload, which the program has not answered.
    one.at_last(request);
    assert_eq!(one.at_last(held_back), Step::Leave);
    let steps: Vec<Step> = (0..20).map(|_| one.at_last(|_| {})).collect();
    assert_eq!(steps.iter().filter(|s| **s != Step::Leave).count(), 1);
    assert!(steps.contains(&Step::Release), "{steps:?}");
}

#[test]
fn a_connection_that_has_yet_to_ask_is_never_held() {
    let now = Instant::now();
    let turns = Turns::begin(Traffic::default(), now);
    assert_eq!(turns.step(now, Moment::Last, false), Step::Leave);
}

#[test]
fn at_the_end_a_request_in_progress_is_finished_and_a_pause_is_used() {
    let mut one = Watched::begin();
    one.look(request, Moment::Early);
    assert_eq!(one.look(|_| {}, Moment::Last), Step::Hold(Starts::Any));
    assert_eq!(one.look(answer, Moment::Last), Step::Leave);
    let steps: Vec<Step> = (0..4).map(|_| one.look(|_| {}, Moment::Last)).collect();
    assert_eq!(steps.iter().filter(|s| **s == Step::End).count(), 1);
}

#[test]
fn a_program_that_was_told_to_end_has_until_the_last_moment_for_a_connection_that_is_kept() {
    let mut kept = Watched::begin();
    let mut used = Watched::begin();
    for _look in 0..100 {
        assert_eq!(kept.look(|_| {}, Moment::Told), Step::Leave);
        assert_eq!(used.look(turn, Moment::Told), Step::Leave);
    }
    assert_eq!(kept.look(|_| {}, Moment::Overdue), Step::End);
    let first = used.look(turn, Moment::Overdue);
    assert_eq!(
        first,
        Step::Hold(Starts::Any),
        "a request was answered just now"
    );
}

#[test]
fn the_drain_of_another_program_leaves_a_connection_to_the_stop_that_is_kept_and_not_used() {
    let mut kept = Watched::begin();
    for _look in 0..100 {
        kept.quiet();
    }
    assert_ne!(kept.at_last(|_| {}), Step::End);
}
