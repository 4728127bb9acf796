//! What the world does with its real store: starts it, lets it work, and lets it die.

use ticketd_core::failure::FailureKind;
use ticketd_store::StoreError;
use ticketd_store::embedded::DiskFile;
use ticketd_store::embedded::sim_disk::Hit;

use super::image::{Answer, Asked, Call};
use super::running::Running;
use super::{Copy, DiskFaults, RealStore, check_start, config, is_mere_no_room};
use crate::explore::check::Found;
use crate::explore::fault::Fault;
use crate::explore::schedule::Happening;
use crate::explore::stats::Mark;
use crate::explore::store::{Message, Op, Reply};
use crate::explore::words::{NO_SEQUENCE, What};
use crate::explore::world::{Phase, World};

/// The longest pause until somebody starts a server again whose store has stopped, or did not
/// start.
const RESTART_US: u64 = 20_000;

/// What became of a group of calls.
#[derive(Debug)]
enum Outcome {
    /// It was answered; these questions of allocators, some perhaps of earlier groups, are known
    /// to have been applied.
    Done(Vec<Message>),
    Failed(FailureKind),
    /// The process died within it.
    Died,
}

impl World {
    /// Lends the real store out, if there is one.
    fn with_real<T>(&mut self, lend: impl FnOnce(&mut Self, &mut RealStore) -> T) -> Option<T> {
        let mut real = self.real.take()?;
        let answer = lend(self, &mut real);
        self.real = Some(real);
        Some(answer)
    }

    fn note<T>(&mut self, result: Result<T, Found>) -> Option<T> {
        result.map_err(|(checker, message)| self.checks.find(checker, message)).ok()
    }

    /// Whether the store can go on without a restart.
    pub(in crate::explore) fn store_is_well(&self) -> bool {
        self.real.as_ref().is_none_or(|real| !real.has_stopped())
    }

    /// The disk fails no more.
    pub(in crate::explore) fn heal_store(&mut self) {
        if let Some(real) = &mut self.real {
            real.faults = DiskFaults::default();
            real.disk.mend();
            real.disk.stay_on();
        }
    }

    /// Opens the real store, if there is one. Returns whether there can be a server; if not, it is
    /// tried again later.
    pub(in crate::explore) fn start_store(&mut self) -> bool {
        let started = self.with_real(Self::start).unwrap_or(true);
        if !started {
            let pause = self.draw.between(100, RESTART_US);
            self.schedule.plan(self.now + pause, Happening::Boot);
        }
        started
    }

    fn start(&mut self, real: &mut RealStore) -> bool {
        real.disk.switch_on(real.power);
        if real.power.take().is_some() {
            real.witnessed = real.witnessed_durably;
            self.note(real.check_witness_left());
        }
        self.take_back(real);
        self.trouble_at_start(real);
        let opened = Running::open(&real.setup, &real.disk);
        let hits = real.disk.take_hits();
        real.disk.mend();
        real.disk.stay_on();
        match opened {
            Ok(running) if !real.disk.is_off() => self.started(real, running, &hits),
            Ok(running) => {
                drop(running);
                self.died_in_start(real)
            }
            Err(_) if real.disk.is_off() => self.died_in_start(real),
            Err(error) => self.not_started(real, &error, &hits),
        }
    }

    fn trouble_at_start(&mut self, real: &RealStore) {
        let faults = real.faults;
        if self.strikes(faults.die_in_start, NO_SEQUENCE, Fault::DiesInStart) {
            config::die(&real.disk, &mut self.draw, true);
        }
        if self.strikes(faults.error_in_start, NO_SEQUENCE, Fault::DiskError) {
            config::one_error(&real.disk, &mut self.draw, true);
        }
    }

    fn died_in_start(&mut self, real: &mut RealStore) -> bool {
        self.stats.mark(Mark::DiedInStart);
        self.die(real);
        false
    }

    fn not_started(&mut self, real: &mut RealStore, error: &StoreError, hits: &[Hit]) -> bool {
        self.stats.mark(Mark::StartFailed);
        self.line(NO_SEQUENCE, What::NotStarted, [error.kind as u64, 0, 0]);
        self.note(check_start(error, hits));
        self.die(real);
        false
    }

    /// The process that used the store is no more: with it goes the power, or not.
    fn die(&mut self, real: &mut RealStore) {
        real.disk.switch_off();
        real.running = None;
        real.restart_planned = false;
        let fails = self.strikes(real.faults.power, NO_SEQUENCE, Fault::Power);
        real.power = fails.then(|| self.draw.below(u64::MAX));
        let (mark, lost) =
            if real.power.is_some() { (Mark::PowerLost, 1) } else { (Mark::PowerKept, 0) };
        self.stats.mark(mark);
        self.line(NO_SEQUENCE, What::Died, [lost, real.disk.count() as u64, 0]);
    }

    /// The store is open: it must be what was left, and what the world begins with is made.
    fn started(&mut self, real: &mut RealStore, running: Running, hits: &[Hit]) -> bool {
        if let Some(hit) = hits.first() {
            self.checks.find("failure", format!("{hit:?} at the start is told to nobody"));
        }
        let image = running.look().unwrap_or_default();
        real.running = Some(running);
        let applied = real.found(&image);
        for message in self.note(applied).unwrap_or_default() {
            self.stats.mark(Mark::AppliedAtCrash);
            self.apply(&message);
        }
        self.note(real.check_witness());
        self.line(NO_SEQUENCE, What::Started, [real.witnessed, real.disk.count() as u64, 0]);
        let missing = real.missing(&image);
        if missing.is_empty() {
            return true;
        }
        let made = matches!(self.serve(real, &missing, &[]), Outcome::Done(_));
        if !made {
            self.die(real);
        }
        made
    }

    /// Somebody puts an older store file in the place of the newest, or loses it: no server may
    /// start on that. Then it is put right.
    fn take_back(&mut self, real: &mut RealStore) {
        let is_older = |copy: &Copy| copy.commits < real.witnessed;
        let Some(copy) = real.copy.take_if(|copy| is_older(copy)) else { return };
        if !self.strikes(real.faults.taken_back, NO_SEQUENCE, Fault::TakenBack) {
            real.copy = Some(copy);
            return;
        }
        let (mark, bytes) = if self.draw.chance(500) {
            (Mark::TakenBack, Some(copy.bytes))
        } else {
            (Mark::Lost, None)
        };
        let right = real.disk.state();
        real.disk.replace(DiskFile::Store, bytes.clone());
        self.stats.mark(mark);
        self.line(NO_SEQUENCE, What::TakenBack, [u64::from(bytes.is_none()), 0, 0]);
        match Running::open(&real.setup, &real.disk) {
            Ok(_) => self.checks.find("start", format!("{}, and a server starts", mark.as_str())),
            Err(error) if error.kind != FailureKind::Corrupt => {
                let message = format!("{}: {}", mark.as_str(), error.to_failure());
                self.checks.find("failure", message);
            }
            Err(_) if real.disk.bytes(DiskFile::Store) != bytes => {
                self.checks.find("start", "the file that is refused was changed".to_owned());
            }
            Err(_) => {}
        }
        real.disk.restore(&right);
    }

    /// The server is gone; nothing that it had asked and that waits has been begun.
    pub(in crate::explore) fn end_store(&mut self, crashed: bool) {
        for message in self.store.take_all() {
            self.stats.mark(Mark::LostAtCrash);
            self.line(message.sequence, What::NotApplied, [message.id, 0, 0]);
        }
        self.with_real(|world, real| world.end(real, crashed));
    }

    fn end(&mut self, real: &mut RealStore, crashed: bool) {
        let Some(running) = real.running.take() else { return };
        let (commits, stopped) = (running.commits(), running.has_stopped());
        if crashed {
            real.disk.switch_off();
            drop(running);
        } else {
            if self.strikes(real.faults.die_in_close, NO_SEQUENCE, Fault::DiesInClose) {
                real.disk.switch_off_after(self.draw.below(8) as usize);
            }
            running.close();
            if real.disk.is_off() {
                self.stats.mark(Mark::DiedInClose);
            }
        }
        self.die(real);
        let is_certain = real.power.is_none() && real.images.is_known() && !stopped;
        if is_certain && real.copy.is_none() {
            let bytes = real.disk.bytes(DiskFile::Store);
            real.copy = bytes.map(|bytes| Copy { bytes, commits });
        }
    }

    /// The commit under way, for real.
    pub(in crate::explore) fn commit_for_real(&mut self, messages: &[Message]) {
        let outcome = self.with_real(|world, real| {
            let mut calls: Vec<Call> = messages.iter().map(|m| call_of(real, m)).collect();
            if world.draw.chance(real.faults.others) && world.phase == Phase::Faults {
                world.stats.mark(Mark::OtherKinds);
                calls.extend(real.others.ask(&mut world.draw));
            }
            world.serve(real, &calls, messages)
        });
        match outcome {
            Some(Outcome::Done(applied)) => self.answer_group(messages, &applied),
            Some(Outcome::Failed(kind)) => {
                for message in messages {
                    self.line(message.sequence, What::NotApplied, [message.id, 0, 0]);
                    self.reply(message, Reply::Failed(kind));
                }
            }
            Some(Outcome::Died) => self.crash(What::DiedInCommit),
            None => {}
        }
        self.plan_restart();
    }

    /// Shows the checkers what was applied, and answers what was asked now.
    fn answer_group(&mut self, messages: &[Message], applied: &[Message]) {
        for message in applied {
            let reply = self.apply(message);
            if messages.iter().any(|asked| asked.id == message.id) {
                self.reply(message, reply);
            }
        }
    }

    /// Lets the store work on a group of calls, and judges what it says.
    fn serve(&mut self, real: &mut RealStore, calls: &[Call], messages: &[Message]) -> Outcome {
        self.trouble_in_group(real);
        let was_stopped = real.has_stopped();
        let Some(running) = &mut real.running else { return Outcome::Died };
        real.committed = running.commits();
        let answers = running.serve(calls);
        let is_stopped = running.has_stopped();
        let hits = real.disk.take_hits();
        real.disk.mend();
        real.disk.stay_on();
        let disk_calls = real.disk.count() as u64;
        self.line(NO_SEQUENCE, What::Group, [calls.len() as u64, disk_calls, hits.len() as u64]);
        if real.disk.is_off() {
            self.stats.mark(Mark::DiedInCommit);
            self.died_in_group(real, calls, messages, &answers);
            return Outcome::Died;
        }
        calls.iter().zip(&answers).for_each(|(call, answer)| real.others.hear(call, *answer));
        let must_stop = was_stopped || !hits.iter().all(is_mere_no_room);
        if is_stopped != must_stop {
            let message = format!("after {hits:?} the store has stopped: {is_stopped}");
            self.checks.find("failure", message);
        }
        match failure_of(calls, &answers, real) {
            None => self.done(real, calls, messages, &answers, &hits),
            Some(kind) => self.failed(real, calls, messages, kind, &Cause { was_stopped, hits }),
        }
    }

    fn trouble_in_group(&mut self, real: &RealStore) {
        let faults = real.faults;
        if self.strikes(faults.die_in_group, NO_SEQUENCE, Fault::DiesInCommit) {
            config::die(&real.disk, &mut self.draw, false);
        }
        if self.store.full {
            self.stats.mark(Mark::StoreFull);
            config::no_room(&real.disk, &mut self.draw);
        } else if self.strikes(faults.error_in_group, NO_SEQUENCE, Fault::DiskError) {
            config::one_error(&real.disk, &mut self.draw, false);
        }
    }

    /// Whoever was answered in time was promised something; of the rest nothing is known.
    fn died_in_group(
        &mut self,
        real: &mut RealStore,
        calls: &[Call],
        messages: &[Message],
        answers: &[Option<Answer>],
    ) {
        let promised =
            |answer: &Option<Answer>| answer.filter(|answer| !matches!(answer, Answer::Failed(_)));
        let promised: Vec<_> = answers.iter().map(promised).collect();
        if promised.iter().all(Option::is_none) {
            real.images.perhaps(calls, messages);
        } else if !real.images.answered(calls, messages, &promised) {
            self.checks.find("image", format!("{promised:?} is no answer to {calls:?}"));
        }
    }

    fn done(
        &mut self,
        real: &mut RealStore,
        calls: &[Call],
        messages: &[Message],
        answers: &[Option<Answer>],
        hits: &[Hit],
    ) -> Outcome {
        if let Some(hit) = hits.iter().find(|hit| hit.file != Some(DiskFile::Witness)) {
            self.checks.find("failure", format!("{hit:?} is told to nobody"));
        }
        if !real.images.answered(calls, messages, answers) {
            self.checks.find("image", format!("{answers:?} is no answer to {calls:?}"));
            return Outcome::Done(Vec::new());
        }
        let Some(running) = &real.running else { return Outcome::Died };
        // A witness that could not be written is written again by the next commit, not before.
        if !hits.is_empty() {
            self.stats.mark(Mark::WitnessBehind);
        } else if running.commits() > real.committed {
            real.witnessed = running.commits();
        }
        // A store that has just stopped shows nothing any more.
        let seen = running.look().or_else(|| real.images.first().cloned());
        let applied = seen.map_or(Ok(Vec::new()), |image| real.found(&image));
        Outcome::Done(self.note(applied).unwrap_or_default())
    }

    fn failed(
        &mut self,
        real: &mut RealStore,
        calls: &[Call],
        messages: &[Message],
        kind: FailureKind,
        cause: &Cause,
    ) -> Outcome {
        if !cause.allows(kind) {
            self.checks.find("failure", format!("{kind:?} is what follows from {cause:?}"));
        }
        self.stats.mark(match (kind, cause.is_mere_no_room()) {
            (FailureKind::Indeterminate, true) => Mark::NoRoomWithin,
            (_, true) => Mark::NoRoomBefore,
            (FailureKind::Indeterminate, false) => Mark::StoppedWithin,
            (_, false) => Mark::StoppedBefore,
        });
        if kind == FailureKind::Indeterminate {
            real.images.perhaps(calls, messages);
        }
        Outcome::Failed(kind)
    }

    /// A store that has stopped is started again by somebody, with its server.
    fn plan_restart(&mut self) {
        let Some(real) = &mut self.real else { return };
        if real.has_stopped() && !std::mem::replace(&mut real.restart_planned, true) {
            let at = self.now + self.draw.between(1, RESTART_US);
            let life = self.server.life;
            self.schedule.plan(at, Happening::Restart { life });
        }
    }

    /// Somebody ends the server whose store has stopped: in peace, or not.
    pub(in crate::explore) fn restart(&mut self) {
        self.stats.mark(Mark::StoppedRestarted);
        if self.draw.chance(500) {
            self.crash(What::Crash);
        } else {
            self.stop();
        }
    }
}

/// Why a group may have failed.
#[derive(Debug)]
struct Cause {
    was_stopped: bool,
    hits: Vec<Hit>,
}

impl Cause {
    fn is_mere_no_room(&self) -> bool {
        !self.was_stopped && self.hits.iter().all(is_mere_no_room)
    }

    /// Whether docs/guarantees.md has this kind of failure for it.
    fn allows(&self, kind: FailureKind) -> bool {
        use FailureKind::{Corrupt, Indeterminate, Unavailable};
        if self.was_stopped {
            return kind == Corrupt;
        }
        let is_temporary = matches!(kind, Unavailable | Indeterminate);
        // Corrupt, if the disk failed before anything of the group was begun.
        !self.hits.is_empty() && (is_temporary || (kind == Corrupt && !self.is_mere_no_room()))
    }
}

/// With what all of the group failed; `None` if it was answered.
fn failure_of(calls: &[Call], answers: &[Option<Answer>], real: &RealStore) -> Option<FailureKind> {
    let Some(Some(Answer::Failed(kind))) = answers.first() else { return None };
    let all = answers.iter().all(|answer| *answer == Some(Answer::Failed(*kind)));
    // One that there is no block for is answered, and not failed.
    (all && !real.images.would_answer(calls, answers)).then_some(*kind)
}

fn call_of(real: &RealStore, message: &Message) -> Call {
    let (name, definition, _) = &real.sequences[message.sequence];
    let asked = match message.op {
        Op::Open => Asked::Create(*definition),
        Op::Reserve(asked) => Asked::Reserve(asked),
        Op::Raise(floor) | Op::ForeignRaise(floor) => Asked::Raise(floor),
        Op::HandBack(unissued) => Asked::HandBack(unissued),
        Op::ForeignReserve(len) => Asked::Reserve(ticketd_core::record::Reserve {
            floor: 1,
            len,
            spent: 1,
            generation: 0,
            turn: 0,
        }),
    };
    Call { name: name.clone(), asked }
}
