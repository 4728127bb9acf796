//! A world as the command that runs it.

use ticketd_sim::explore::{Options, Setting};

/// The command that runs this world and no other.
pub fn command(setting: Setting, seed: u64, options: &Options) -> String {
    let mut line = format!("ticketd explore --world {setting} --seed {seed}");
    let scope = &options.scope;
    let mut add = |flag: &str, value: Option<String>| {
        if let Some(value) = value {
            line.push_str(&format!(" --{flag} {value}"));
        }
    };
    let requests = options.requests;
    add("requests", (requests != Options::REQUESTS).then(|| requests.to_string()));
    add("servers", scope.servers.map(|most| most.to_string()));
    add("clients", scope.clients.map(|most| most.to_string()));
    add("sequences", scope.sequences.map(|most| most.to_string()));
    add("without", (!scope.without.is_empty()).then(|| joined(scope.without.iter())));
    add("only-faults", scope.only_faults.as_ref().map(|only| joined(only.iter())));
    line
}

/// Values with commas between them; `none` if there are none.
fn joined(values: impl Iterator<Item = impl ToString>) -> String {
    let values: Vec<String> = values.map(|value| value.to_string()).collect();
    if values.is_empty() { "none".to_owned() } else { values.join(",") }
}

#[cfg(test)]
mod tests {
    use ticketd_sim::explore::{Fault, Scope};

    use super::*;

    #[test]
    fn what_is_left_out_is_told_and_nothing_else() {
        let all = Options::default();
        let told = command(Setting::One, 7, &all);
        assert_eq!(told, "ticketd explore --world one --seed 7");
        let scope = Scope {
            without: [Fault::Pause, Fault::Crash].into(),
            only_faults: Some([17, 3].into()),
            servers: Some(2),
            clients: Some(1),
            sequences: None,
        };
        let told = command(Setting::Several, 7, &Options { requests: 40, scope, ..all.clone() });
        assert_eq!(
            told,
            "ticketd explore --world several --seed 7 --requests 40 --servers 2 --clients 1 \
             --without crash,pause --only-faults 3,17"
        );
        let scope = Scope { only_faults: Some([].into()), ..Scope::default() };
        let told = command(Setting::One, 7, &Options { scope, ..all });
        assert!(told.ends_with("--only-faults none"), "{told}");
    }
}
