//! The live simulation from outside: real threads, the real service, and sources that lie.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ticketd_core::count::Count;
use ticketd_core::definition::KindName;
use ticketd_core::ids::{Id, Ids, Range};
use ticketd_core::name::Name;
use ticketd_sim::live::{Issuers, Plan, Server, Source, Stop, Summary, Watch, run};

/// Writes down every ticket.
#[derive(Default)]
struct Notebook {
    tickets: Mutex<Vec<(usize, String, u64)>>,
    /// Has enough after so many; 0 for never.
    enough: u64,
    seen: AtomicU64,
}

impl Watch for Notebook {
    fn ticket(&self, agent: usize, table: &Name, ticket: Id) -> bool {
        let Id::Integer(ticket) = ticket else { panic!("{ticket:?} is no ticket") };
        self.tickets.lock().unwrap().push((agent, table.to_string(), ticket));
        self.enough == 0 || self.seen.fetch_add(1, Ordering::Relaxed) + 1 < self.enough
    }

    fn tick(&self, _issued: u64, _elapsed: Duration) -> bool {
        true
    }
}

fn plan(agents: usize, tables: &[&str], buffer: usize) -> Plan {
    let tables = tables.iter().map(|table| Name::new(table).unwrap()).collect();
    let kind = KindName::Ticket;
    Plan { agents, tables, kind, buffer, tickets: None, duration: None, rate: None }
}

fn run_local(plan: &Plan, notebook: &Notebook) -> Summary {
    run(plan, Server::Local(Issuers::start(plan).unwrap()), notebook, &Stop::default())
}

#[test]
fn every_ticket_is_unique_in_order_and_without_gaps_whatever_the_buffer() {
    for buffer in [0, 1, 64] {
        let plan = Plan { tickets: Some(4000), ..plan(4, &["notes", "tasks"], buffer) };
        let notebook = Notebook::default();
        let summary = run_local(&plan, &notebook);
        assert!(summary.kept() && summary.trouble.is_none(), "{summary:?}");
        let tickets = notebook.tickets.into_inner().unwrap();
        assert_eq!(tickets.len(), 4000, "buffer {buffer}");
        for table in &summary.tables {
            let ids: HashSet<u64> =
                tickets.iter().filter(|(_, t, _)| t == table.name.as_str()).map(|t| t.2).collect();
            let found = table.found;
            assert_eq!(ids.len() as u64, found.issued, "the auditor and a plain set agree");
            assert_eq!((found.first, found.last), (Some(1), Some(found.issued)));
            assert_eq!((found.gaps, found.unchecked, found.exact_from), (0, 0, 1));
        }
        assert_eq!(summary.tables.iter().map(|table| table.found.issued).sum::<u64>(), 4000);
    }
}

#[test]
fn agents_are_spread_evenly_over_the_tables() {
    let spread = |agents, tables: &[&str]| -> Vec<usize> {
        let plan = plan(agents, tables, 0);
        (1..=agents).map(|agent| plan.table_of(agent)).collect()
    };
    assert_eq!(spread(4, &["notes", "tasks"]), [0, 0, 1, 1]);
    assert_eq!(spread(5, &["a", "b"]), [0, 0, 0, 1, 1]);
    assert_eq!(spread(3, &["a", "b", "c"]), [0, 1, 2]);
    assert_eq!(spread(1, &["a", "b"]), [0]);
}

#[test]
fn a_table_without_an_agent_has_no_tickets_and_breaks_nothing() {
    let plan = Plan { tickets: Some(10), ..plan(1, &["a", "b"], 4) };
    let summary = run_local(&plan, &Notebook::default());
    assert!(summary.kept());
    assert_eq!(summary.tables[1].found.first, None);
}

#[test]
fn a_duration_ends_a_run_and_a_rate_slows_it_down() {
    let duration = Some(Duration::from_millis(500));
    let plan = Plan { duration, rate: Some(20.0), ..plan(2, &["a"], 0) };
    let summary = run_local(&plan, &Notebook::default());
    let issued = summary.tables[0].found.issued;
    // The first is due at once, then one each 50 ms: 10 or 11 for each agent on an idle machine.
    assert!((2..=22).contains(&issued), "{issued}");
    assert!(summary.elapsed >= Duration::from_millis(500));
}

#[test]
fn a_watcher_who_has_enough_ends_the_run() {
    let notebook = Notebook { enough: 100, ..Notebook::default() };
    let summary = run_local(&plan(4, &["a", "b"], 0), &notebook);
    assert!(summary.kept());
    assert!(notebook.tickets.into_inner().unwrap().len() >= 100);
}

#[test]
fn a_request_to_stop_ends_agents_that_sleep() {
    let stop = Stop::default();
    stop.request();
    let plan = Plan { rate: Some(0.001), ..plan(4, &["a", "b"], 0) };
    let summary =
        run(&plan, Server::Local(Issuers::start(&plan).unwrap()), &Notebook::default(), &stop);
    assert!(summary.kept() && summary.elapsed < Duration::from_secs(60));
}

/// A source that answers from a script: what a broken server could do.
struct Script(HashMap<u64, Answer>, u64);

type Answer = Result<u64, &'static str>;

impl Source for Script {
    fn next(&mut self, _: &Name, count: Count) -> Result<Ids, Box<dyn Error + Send + Sync>> {
        self.1 += 1;
        let start = self.0.get(&self.1).copied().unwrap_or(Ok(self.1 * 10))?;
        Ok(Ids::Range(Range { first: start, step: 1, count: count.get() }))
    }
}

fn run_script(script: &[(u64, Answer)]) -> Summary {
    let plan = Plan { tickets: Some(100), ..plan(1, &["a"], 10) };
    let source: Box<dyn Source> = Box::new(Script(script.iter().copied().collect(), 0));
    run(&plan, Server::Remote(vec![source]), &Notebook::default(), &Stop::default())
}

#[test]
fn an_honest_source_is_found_clean() {
    let summary = run_script(&[]);
    let found = summary.tables[0].found;
    assert!(summary.kept() && summary.trouble.is_none());
    assert_eq!((found.issued, found.first, found.last), (100, Some(10), Some(109)));
}

#[test]
fn a_source_that_repeats_a_block_is_caught() {
    let summary = run_script(&[(5, Ok(40))]);
    let found = summary.tables[0].found;
    assert!(!summary.kept());
    assert_eq!((found.duplicates, found.inversions, found.gaps), (10, 10, 10));
}

#[test]
fn a_source_that_goes_back_into_a_gap_is_caught() {
    let summary = run_script(&[(2, Ok(1000)), (3, Ok(20))]);
    let found = summary.tables[0].found;
    assert!(!summary.kept());
    assert_eq!(found.duplicates, 0);
    assert!(found.inversions >= 10);
}

#[test]
fn a_source_that_fails_ends_the_run_with_its_reason() {
    let summary = run_script(&[(3, Err("the server said no"))]);
    assert!(summary.kept(), "what was issued before is in order");
    assert_eq!(summary.trouble.as_deref(), Some("agent 1, a: the server said no"));
    assert_eq!(summary.tables[0].found.issued, 20);
}
