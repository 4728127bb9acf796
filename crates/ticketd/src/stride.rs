//! `ticketd stride`: changes the members of a stride sequence while they go on issuing.
//!
//! It keeps nothing: what to do next follows from what the members say. So it can be stopped at any
//! moment, and run again.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write};

use clap::{Args, Subcommand};
use serde_json::json;
use ticketd_core::name::Name;
use ticketd_core::stride::coordinator::{Ask, Coordinator, Goal};
use ticketd_core::stride::resize::{Next, Problem, Step, View, Wish};
use ticketd_core::stride::{Seat, Standing};

use crate::client::{Client, Place};
use crate::failure::Failure;
use crate::output;

/// How `ticketd stride` is called.
#[derive(Debug, Args)]
pub struct StrideArgs {
    #[command(subcommand)]
    command: StrideCommand,
}

#[derive(Debug, Subcommand)]
enum StrideCommand {
    /// Change who the members are, while they go on issuing
    ///
    /// All old members first promise to stop below a common ID; only when every one has, all count
    /// on from there in their new seats. No ID is remapped. If it is interrupted, or a member does
    /// not answer, run the same command again: until then the members issue what the headroom
    /// allows.
    Resize(ResizeArgs),
}

#[derive(Debug, Args)]
struct ResizeArgs {
    /// Name of the sequence
    #[arg(value_parser = Name::new)]
    name: Name,

    /// All members that there shall be, old and new: the first gets offset 1, and so on
    #[arg(
        long,
        value_name = "ADDR,...",
        value_delimiter = ',',
        required_unless_present = "abandon"
    )]
    members: Vec<String>,

    /// Members that there are and shall not be any more
    #[arg(long, value_name = "ADDR,...", value_delimiter = ',')]
    leaving: Vec<String>,

    /// How many IDs, counted over all members, may be issued until the new generation opens; those
    /// that are not are skipped
    #[arg(long, value_name = "N", default_value_t = 1_000_000_000)]
    headroom: u64,

    /// Only show what would be done
    #[arg(long)]
    dry_run: bool,

    /// Give up a resize that not all have accepted; name the members as then
    #[arg(long)]
    abandon: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs `ticketd stride`.
///
/// # Errors
/// What keeps the resize from going on.
pub fn run(args: &StrideArgs) -> Result<(), Failure> {
    match &args.command {
        StrideCommand::Resize(args) => Resize::new(args)?.run(),
    }
}

struct Resize<'a> {
    args: &'a ResizeArgs,
    /// Those who shall be members, then those who leave.
    addresses: Vec<&'a str>,
    wish: Wish,
}

impl<'a> Resize<'a> {
    fn new(args: &'a ResizeArgs) -> Result<Self, Failure> {
        let addresses: Vec<&str> =
            args.members.iter().chain(&args.leaving).map(|address| address.trim()).collect();
        for (at, address) in addresses.iter().enumerate() {
            if address.is_empty() || addresses[..at].contains(address) {
                return Err(Failure::usage(format!("name each member once, not: '{address}'")));
            }
        }
        let members = u32::try_from(args.members.len())
            .map_err(|_| Failure::usage("there are too many members"))?;
        let wish = Wish::new(&args.name, &addresses, members, args.headroom);
        Ok(Self { args, addresses, wish })
    }

    fn run(&self) -> Result<(), Failure> {
        let goal = if self.args.abandon { Goal::Abandon } else { Goal::Resize(self.wish) };
        let mut coordinator = Coordinator::new(goal, self.addresses.len());
        let mut is_first = true;
        loop {
            let ask = coordinator.ask();
            match ask.map_err(|problem| Failure::work(self.told(&problem)))? {
                Ask::Done => return self.finish(),
                Ask::Look(at) => coordinator.saw(self.look(at)?),
                Ask::Take(at, step) => {
                    let next = coordinator.decision().expect("a step is for what was decided");
                    if std::mem::take(&mut is_first) {
                        self.show_plan(coordinator.views(), next)?;
                        if self.args.dry_run {
                            return self.say("nothing was changed: --dry-run");
                        }
                    }
                    self.take(at, &step, next)?;
                    coordinator.took();
                }
            }
        }
    }

    /// Asks one what it is.
    fn look(&self, at: usize) -> Result<Option<View>, Failure> {
        let address = self.addresses[at];
        self.connect(address)?
            .member(&self.args.name)
            .map_err(|why| Failure::work(format!("{address}: {why}")))
    }

    fn connect(&self, address: &str) -> Result<Client, Failure> {
        Place::find(address).and_then(|place| place.connect()).map_err(|why| {
            let name = &self.args.name;
            Failure::work(format!(
                "member {address} of {name} does not answer, so the resize cannot go on; nothing \
                 is lost: run the same command again when it is back: {why}"
            ))
        })
    }

    fn take(&self, at: usize, step: &Step, next: &Next) -> Result<(), Failure> {
        let address = self.addresses[at];
        self.connect(address)?.take_step(&self.args.name, step).map_err(|why| {
            Failure::work(format!("{address} does not {next}: {why}; run the command again"))
        })?;
        self.say(&format!("{next}: {address}"))
    }

    fn finish(&self) -> Result<(), Failure> {
        if self.args.json {
            let done = json!({
                "sequence": self.args.name.to_string(), "members": self.args.members, "done": true
            });
            return print(&done.to_string());
        }
        print(if self.args.abandon { "no resize is under way" } else { "done" })
    }

    fn show_plan(&self, views: &[Option<View>], next: &Next) -> Result<(), Failure> {
        if self.args.abandon {
            return Ok(());
        }
        let mut text = format!("resize of {} to {} members\n", self.args.name, self.wish.members);
        for (at, view) in views.iter().enumerate() {
            let (before, after) = (standing_of(view.as_ref()), self.seat_after(at));
            let address = self.addresses[at];
            let reached = view.map_or_else(String::new, |view| match view.standing {
                Standing::Issuing => format!(", has reserved below {}", view.reached),
                Standing::Joining | Standing::Left => String::new(),
            });
            writeln!(text, "  {address}  {before} -> {after}{reached}").map_err(Failure::work)?;
        }
        if let Next::Accept(steps) = next
            && let Some(cap) = steps.iter().find_map(|(_, step)| match step {
                Step::Accept { accepted, joins: false } => Some(accepted.cap),
                _ => None,
            })
        {
            writeln!(text, "until all have accepted, members issue below {cap}")
                .map_err(Failure::work)?;
        }
        self.say(text.trim_end())
    }

    fn seat_after(&self, at: usize) -> String {
        match u32::try_from(at) {
            Ok(at) if at < self.wish.members => format!("{} of {}", at + 1, self.wish.members),
            _ => "leaves".to_owned(),
        }
    }

    /// A plan that was asked for is data; how it goes is for people who watch.
    fn say(&self, line: &str) -> Result<(), Failure> {
        if self.args.dry_run {
            return print(line);
        }
        let mut stderr = std::io::stderr();
        if stderr.is_terminal() {
            drop(writeln!(stderr, "{line}"));
        }
        Ok(())
    }

    fn told(&self, problem: &Problem) -> String {
        let of = |at: &usize| self.addresses[*at];
        let name = &self.args.name;
        match problem {
            Problem::Members => "members are 1 to 65536".to_owned(),
            Problem::NoMember => format!(
                "none of these is a member of {name}: create it on the first with 'ticketd \
                 sequence create {name} --kind stride --members 1 --offset 1'"
            ),
            Problem::Generations(one, other) => format!(
                "{} and {} are in different generations: finish the resize that was begun before, \
                 with its --members",
                of(one),
                of(other)
            ),
            Problem::Missing(seat) => format!(
                "the member with offset {} of {} is missing: name it in --members or in --leaving",
                seat.offset(),
                seat.members()
            ),
            Problem::SameSeat(one, other) => format!(
                "{} and {} have the same offset: they are one server, or were set up wrongly",
                of(one),
                of(other)
            ),
            Problem::NoMemberLeaves(at) => format!("{} is no member, so it cannot leave", of(at)),
            Problem::OtherPlan(at) => format!(
                "{} has accepted another resize: finish that with its --members, or --abandon it",
                of(at)
            ),
            Problem::Lost(at) => format!(
                "{} has lost what it had accepted, or is another server than then: bring its data \
                 back",
                of(at)
            ),
            Problem::HasOpened(at) => format!(
                "{} counts in its new seat already: run the resize again to finish it",
                of(at)
            ),
            Problem::AllAccepted => "all have accepted, so somebody may be opening the new \
                 generation: run the resize again to finish it"
                .to_owned(),
            Problem::Restless => {
                "the members keep changing: is somebody else resizing? run it again".to_owned()
            }
        }
    }
}

fn standing_of(view: Option<&View>) -> String {
    let seat = |seat: Seat| format!("{} of {}", seat.offset(), seat.members());
    match view {
        None => "joins".to_owned(),
        Some(view) => match view.standing {
            Standing::Issuing => seat(view.seat),
            Standing::Joining => "joining".to_owned(),
            Standing::Left => "joins again".to_owned(),
        },
    }
}

fn print(line: &str) -> Result<(), Failure> {
    output::write(|out| writeln!(out, "{line}"))
}
