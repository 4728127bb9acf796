//! Layouts that are in use elsewhere, by name, with their real epochs.

use crate::snowflake::layout::Layout;
use crate::time::UnixMillis;

/// A layout with a name.
#[derive(Debug, Clone, Copy)]
pub struct Preset {
    /// Its name.
    pub name: &'static str,
    /// Whose it is, for people.
    pub about: &'static str,
    fields: &'static str,
    tick_ms: u32,
    epoch: u64,
    unsigned: bool,
}

/// The layout of a sequence that names none.
pub const DEFAULT: &str = "default";

const fn preset(
    name: &'static str,
    fields: &'static str,
    tick_ms: u32,
    epoch: u64,
    about: &'static str,
) -> Preset {
    Preset { name, about, fields, tick_ms, epoch, unsigned: false }
}

const fn unsigned(preset: Preset) -> Preset {
    Preset { unsigned: true, ..preset }
}

/// All presets.
pub const PRESETS: [Preset; 9] = [
    preset(DEFAULT, "time:41,worker:10,counter:12", 1, 1_704_067_200_000, "ticketd, from 2024"),
    preset("js53", "time:41,worker:4,counter:8", 1, 1_704_067_200_000, "below 2^53, from 2024"),
    preset(
        "twitter",
        "time:41,datacenter:5,worker:5,counter:12",
        1,
        1_288_834_974_657,
        "Twitter's Snowflake of 2010",
    ),
    unsigned(preset(
        "discord",
        "time:42,worker:5,process:5,counter:12",
        1,
        1_420_070_400_000,
        "Discord, from 2015",
    )),
    unsigned(preset(
        "instagram",
        "time:41,shard:13,counter:10",
        1,
        1_314_220_021_721,
        "Instagram's sharded IDs",
    )),
    preset(
        "sonyflake",
        "time:39,counter:8,machine:16",
        10,
        1_409_529_600_000,
        "Sonyflake version 1, from 2014-09-01",
    ),
    preset(
        "sonyflake2",
        "time:39,counter:8,machine:16",
        10,
        1_735_689_600_000,
        "Sonyflake version 2, from 2025",
    ),
    unsigned(preset("mastodon", "time:48,counter:16", 1, 0, "Mastodon")),
    preset(
        "baidu",
        "time:28,worker:22,counter:13",
        1000,
        1_463_673_600_000,
        "Baidu's uid-generator; its default ran out in 2024",
    ),
];

impl Preset {
    /// The layout.
    pub fn layout(&self) -> Layout {
        Layout::with_fields(self.fields, self.tick_ms, UnixMillis(self.epoch), self.unsigned)
            .expect("a preset is a layout: there is a test")
    }
}

/// The preset called `name`.
pub fn find(name: &str) -> Option<Layout> {
    PRESETS.iter().find(|preset| preset.name == name).map(Preset::layout)
}

/// What `layout` is called, if it is a preset.
pub fn name_of(layout: &Layout) -> Option<&'static str> {
    PRESETS.iter().find(|preset| preset.layout() == *layout).map(|preset| preset.name)
}
