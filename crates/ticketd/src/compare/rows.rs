//! The table: a row for each property, a cell for each kind, and how it was measured in words.

use serde::Serialize;
use ticketd_sim::compare::{Measured, Order};

/// A property of all kinds.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// Its name for programs.
    pub key: &'static str,
    /// What it belongs to.
    pub group: &'static str,
    /// Its name for people.
    pub property: &'static str,
    /// How it was measured.
    pub how: &'static str,
    /// One for each kind, in their order.
    pub cells: Vec<String>,
}

/// What a row says of one kind.
type Cell = fn(&Measured) -> String;

struct Property {
    key: &'static str,
    group: &'static str,
    name: &'static str,
    how: &'static str,
    cell: Cell,
}

const SPEED: &str = "Speed";
const SIZE: &str = "Size";
const UNIQUE: &str = "Uniqueness";
const ORDER: &str = "Order";
const OUTAGE: &str = "One server dies";
const RESIZE: &str = "From 3 to 5 servers";
const INDEX: &str = "Index";
const GUESS: &str = "The next ID";

const PROPERTIES: [Property; 22] = [
    Property {
        key: "in_process",
        group: SPEED,
        name: "IDs/s in process",
        how: "each agent asks the service directly for one ID at a time; store in memory; three \
              servers, of tickets one; until the time is over or 4 million IDs are drawn, since \
              all are kept to be compared; a snowflake may spend up to a second of ticks ahead of \
              its clock",
        cell: |m| count(m.in_process.ids_per_second),
    },
    Property {
        key: "resp_pipelined",
        group: SPEED,
        name: "IDs/s over RESP, 64 in flight",
        how: "each agent has a connection on loopback to a real listener and sends INCR \
              (NEXT for UUIDs and ULIDs) 64 times before it reads; clients and servers share the cores",
        cell: |m| count(m.resp_pipelined.ids_per_second),
    },
    Property {
        key: "resp_single",
        group: SPEED,
        name: "IDs/s over RESP, one at a time",
        how: "the same, but each request waits for the answer to the one before",
        cell: |m| count(m.resp_single.ids_per_second),
    },
    Property {
        key: "binary_bytes",
        group: SIZE,
        name: "bytes, binary",
        how: "a number of fixed width, as a database column has it",
        cell: |m| m.size.binary_bytes.to_string(),
    },
    Property {
        key: "text_bytes",
        group: SIZE,
        name: "bytes, text",
        how: "the first 1,000 IDs of a sequence as ticketd writes them, on average; in brackets the \
              longest that there can be, if that differs",
        cell: text_bytes,
    },
    Property {
        key: "duplicates",
        group: UNIQUE,
        name: "duplicates",
        how: "every ID of every measurement but those of the index is kept and compared with all \
              others of its table and run, also across a killed server and a resize",
        cell: |m| format!("{} of {}", m.duplicates(), count(m.checked() as f64)),
    },
    Property {
        key: "inversions_within_a_server",
        group: ORDER,
        name: "inversions within a server",
        how: "agents draw at random moments, from the three servers 3 : 2 : 1; by one monotonic \
              clock: IDs smaller than one that the same server had answered before they were asked \
              for",
        cell: |m| of_all(m.order.inversions_within_a_server, m.order.ids),
    },
    Property {
        key: "inversions_across_servers",
        group: ORDER,
        name: "inversions across servers",
        how: "the same with the answers of the other servers; one server issues all tickets, so \
              there it is the answers to other agents",
        cell: |m| of_all(m.order.inversions_across_servers, m.order.ids),
    },
    Property {
        key: "tellable_from",
        group: ORDER,
        name: "the older of two is told from",
        how: "pairs across servers by how long after the answer to one the other was asked for: \
              from here on at least 99.9 % are in the right order; all servers have the clock of \
              this machine",
        cell: |m| tellable(&m.order),
    },
    Property {
        key: "tellable_from_with_skewed_clocks",
        group: ORDER,
        name: "the same, clocks 50 ms apart",
        how: "the same with the wall clocks of the three servers wrong by 0, 25 and 50 ms; - for \
              kinds that carry no time",
        cell: |m| m.order_with_skewed_clocks.as_ref().map_or_else(none, tellable),
    },
    Property {
        key: "outage_failed",
        group: OUTAGE,
        name: "requests failed in the second after",
        how: "agents ask over RESP once a millisecond; a server is killed (SIGKILL; of snowflake, \
              whose servers share a store in memory, all its tasks are dropped); agents go on to \
              the next of three servers at the first failure. A ticket sequence lives on one \
              server, which is started again at once on its data directory, as a supervisor \
              would: until then there are no tickets at all. UUIDs and ULIDs need no server: a \
              library in the client has no such second",
        cell: |m| percent(m.outage.failed_share),
    },
    Property {
        key: "outage_longest_wait",
        group: OUTAGE,
        name: "longest wait of an agent",
        how: "the longest time between two IDs of one agent after the death",
        cell: |m| millis(m.outage.longest_wait_ms),
    },
    Property {
        key: "outage_restarted",
        group: OUTAGE,
        name: "dead server serves again after",
        how: "from SIGKILL until the ready line of a new process; - where the others went on \
              without it",
        cell: |m| m.outage.restarted_in_ms.map_or_else(none, millis),
    },
    Property {
        key: "outage_burnt",
        group: OUTAGE,
        name: "IDs burnt",
        how: "numbers that nobody was answered, up to the first ID after the dead server was \
              started again; - for snowflake, which burns the rest of a window of ticks",
        cell: |m| m.outage.burnt_ids.map_or_else(none, |ids| count(ids as f64)),
    },
    Property {
        key: "resize_took",
        group: RESIZE,
        name: "takes",
        how: "until the fourth and fifth server have issued an ID. Stride: 'ticketd stride resize' \
              on five processes with stores on disk, while agents draw; the others: two more \
              services in process; of tickets, two more clients of the one server",
        cell: |m| millis(m.resize.took_ms),
    },
    Property {
        key: "resize_longest_wait",
        group: RESIZE,
        name: "longest wait meanwhile",
        how: "the longest time between two IDs of one agent of the old servers; - where nothing \
              happens to those",
        cell: |m| m.resize.longest_wait_ms.map_or_else(none, millis),
    },
    Property {
        key: "resize_skipped",
        group: RESIZE,
        name: "IDs skipped, remapped",
        how: "the numbers between the last ID of three members and the first of five that nobody \
              gets: the headroom of 100,000 that was asked for, and a block of each. Then old IDs \
              that had to change: no step of any resize touches one, and that none comes twice is \
              checked",
        cell: |m| format!("{}, {}", count(m.resize.skipped_ids as f64), m.resize.remapped_ids),
    },
    Property {
        key: "pages_per_commit",
        group: INDEX,
        name: "pages written per 1,000 IDs",
        how: "IDs of three servers, asked 3 : 2 : 1, inserted in the order of issue into a B-tree \
              (redb) with 1,000 to a transaction: distinct pages of 4 KiB that a commit writes, \
              mean of the last half",
        cell: |m| count(m.locality.pages_per_commit_mean),
    },
    Property {
        key: "index_size",
        group: INDEX,
        name: "pages of the index, filled",
        how: "pages of the B-tree in the end, and the share of them that holds keys and values",
        cell: |m| {
            let filled = (m.locality.filled_share * 100.0).round();
            format!("{}, {filled} %", count(m.locality.tree_pages as f64))
        },
    },
    Property {
        key: "guessed_at_once",
        group: GUESS,
        name: "guessed at once",
        how: "one agent sees its own IDs while others draw too, and guesses the next one: the last \
              and the most common of the 64 latest differences",
        cell: |m| percent(m.guess.guessed_at_once_share),
    },
    Property {
        key: "guessed_within_1000",
        group: GUESS,
        name: "guessed within 1,000 tries",
        how: "each of the 64 latest differences, and then the first 936 multiples of their greatest \
              common divisor",
        cell: |m| percent(m.guess.guessed_within_1000_share),
    },
    Property {
        key: "unknown_bits",
        group: GUESS,
        name: "bits unknown, on average",
        how: "an estimate, and rather too high: the entropy of each bit of the differences between \
              an agent's IDs, or of which bits change, summed as if bits were independent; the \
              smaller of the two",
        cell: |m| format!("{:.0}", m.guess.unknown_bits_estimate),
    },
];

/// All rows of `kinds`.
pub fn all(kinds: &[Measured]) -> Vec<Row> {
    let row = |property: Property| Row {
        key: property.key,
        group: property.group,
        property: property.name,
        how: property.how,
        cells: kinds.iter().map(property.cell).collect(),
    };
    PROPERTIES.into_iter().map(row).collect()
}

fn none() -> String {
    "-".to_owned()
}

fn text_bytes(measured: &Measured) -> String {
    let size = measured.size;
    if size.text_bytes.fract() == 0.0 && size.text_bytes == f64::from(size.text_bytes_max) {
        return size.text_bytes_max.to_string();
    }
    format!("{:.1} ({})", size.text_bytes, size.text_bytes_max)
}

fn of_all(part: u64, whole: u64) -> String {
    match part {
        0 => "0".to_owned(),
        _ => percent(part as f64 / whole as f64),
    }
}

fn tellable(order: &Order) -> String {
    match order.tellable_from_us {
        None => "never".to_owned(),
        Some(0) => "any".to_owned(),
        Some(us) => millis(us as f64 / 1000.0),
    }
}

/// Three significant digits at most, with a suffix for thousands and so on.
pub fn count(number: f64) -> String {
    let (scaled, suffix) = match number {
        n if n >= 1e9 => (n / 1e9, " G"),
        n if n >= 1e6 => (n / 1e6, " M"),
        n if n >= 1e4 => (n / 1e3, " k"),
        n => (n, ""),
    };
    let decimals = match scaled {
        n if n >= 100.0 || (suffix.is_empty() && n.fract() == 0.0) => 0,
        n if n >= 10.0 => 1,
        _ => 2,
    };
    format!("{scaled:.decimals$}{suffix}")
}

/// Two significant digits at most, for a place without room.
pub fn short_count(number: f64) -> String {
    let (scaled, suffix) = match number {
        n if n >= 1e9 => (n / 1e9, "G"),
        n if n >= 1e6 => (n / 1e6, "M"),
        n if n >= 1e3 => (n / 1e3, "k"),
        n => (n, ""),
    };
    let decimals = usize::from(scaled < 9.95 && !suffix.is_empty());
    format!("{scaled:.decimals$}{suffix}").replace(".0", "")
}

/// A time in the unit that suits it.
pub fn millis(millis: f64) -> String {
    match millis {
        ms if ms >= 1000.0 => format!("{:.2} s", ms / 1000.0),
        ms if ms >= 100.0 => format!("{ms:.0} ms"),
        ms if ms >= 10.0 => format!("{ms:.1} ms").replace(".0", ""),
        ms if ms >= 1.0 => format!("{ms:.2} ms").replace(".00", ""),
        ms => format!("{:.0} µs", ms * 1000.0),
    }
}

/// A share, in percent.
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    match percent {
        p if p == 0.0 || p == 100.0 => format!("{p:.0} %"),
        // Nearly all is not all.
        p if p > 99.9 => "> 99.9 %".to_owned(),
        p if p < 0.1 => "< 0.1 %".to_owned(),
        p => format!("{p:.1} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_never_rounded_to_what_they_are_not() {
        let counts = [0.0, 7.0, 9_999.0, 12_345.0, 1_234_567.0, 45.678].map(count);
        assert_eq!(counts, ["0", "7", "9999", "12.3 k", "1.23 M", "45.7"]);
        let shorts = [7.0, 9_400.0, 12_345.0, 1_234_567.0, 1e6].map(short_count);
        assert_eq!(shorts, ["7", "9.4k", "12k", "1.2M", "1M"]);
        let times = [0.1, 1.0, 1.5, 10.0, 123.4, 2500.0].map(millis);
        assert_eq!(times, ["100 µs", "1 ms", "1.50 ms", "10 ms", "123 ms", "2.50 s"]);
        let shares = [0.0, 0.000_01, 0.5, 0.999_99, 1.0].map(percent);
        assert_eq!(shares, ["0 %", "< 0.1 %", "50.0 %", "> 99.9 %", "100 %"]);
    }

    #[test]
    fn each_row_has_a_name_of_its_own_and_says_how() {
        let rows = all(&[]);
        let keys: std::collections::HashSet<_> = rows.iter().map(|row| row.key).collect();
        assert_eq!(keys.len(), rows.len());
        assert!(rows.iter().all(|row| row.how.len() > 20 && row.cells.is_empty()));
    }
}
