//! Order: in real time, per server, and per connection.

use std::collections::HashMap;

use super::Found;
use crate::history::{Asked, Call, Place};

/// If one call ended before another began, its IDs are smaller.
///
/// In the order in which calls began, it is enough to know the largest ID of all calls that had
/// ended by then.
pub fn in_real_time(calls: &[Call], sequence: &Asked, found: &mut Found) {
    let mut by_start: Vec<&Call> = calls.iter().collect();
    by_start.sort_by_key(|call| call.start_us);
    let mut by_end: Vec<&Call> = by_start.clone();
    by_end.sort_by_key(|call| call.end_us);
    let mut ended = by_end.into_iter().peekable();
    let mut largest: Option<(u64, &Call)> = None;
    for call in by_start {
        // A moment that two clocks show alike may have been either way round.
        while let Some(before) = ended.next_if(|before| before.end_us < call.start_us) {
            let (_, last) = before.ids().expect("these are answered");
            if largest.is_none_or(|(seen, _)| last > seen) {
                largest = Some((last, before));
            }
        }
        let (first, _) = call.ids().expect("these are answered");
        if let Some((last, before)) = largest
            && first <= last
        {
            let what = format!(
                "{first} of {} was asked for after {last} had been answered, {} us before",
                sequence.name,
                call.start_us - before.end_us
            );
            found.disorder(what, vec![*before, *call]);
        }
    }
}

/// The same of the calls to each server.
pub fn per_server(calls: &[Call], sequence: &Asked, found: &mut Found) {
    let mut servers: HashMap<usize, Vec<Call>> = HashMap::new();
    for call in calls {
        servers.entry(call.place.server).or_default().push(*call);
    }
    for calls in servers.values() {
        in_real_time(calls, sequence, found);
    }
}

/// IDs rise along each connection, on which the next request may be sent before an answer has come.
pub fn per_connection(calls: &[Call], sequence: &Asked, found: &mut Found) {
    let mut latest: HashMap<Place, &Call> = HashMap::new();
    for call in calls {
        let Some(before) = latest.insert(call.place, call) else {
            continue;
        };
        let ((_, last), (first, _)) = before.ids().zip(call.ids()).expect("these are answered");
        if first <= last {
            let what = format!("{first} of {} came after {last} on one connection", sequence.name);
            found.disorder(what, vec![*before, *call]);
        }
    }
}
