//! Layouts that are in use elsewhere, by name, with their real epochs.

use crate::snowflake::layout::Layout;
use crate::time::UnixMillis;

/// A layout with a name.
#[derive(Debug, Clone, Copy)]
pub struct Preset {
    /// Its name.
    pub name: &'static str,
    fields: &'static str,
    tick_ms: u32,
    epoch: u64,
    unsigned: bool,
}

/// The layout of a sequence that names none.
pub const DEFAULT: &str = "default";

const fn preset(name: &'static str, fields: &'static str, tick_ms: u32, epoch: u64) -> Preset {
    Preset { name, fields, tick_ms, epoch, unsigned: false }
}

const fn unsigned(preset: Preset) -> Preset {
    Preset { unsigned: true, ..preset }
}

/// All presets.
pub const PRESETS: [Preset; 9] = [
    // From 2024-01-01.
    preset(DEFAULT, "time:41,worker:10,counter:12", 1, 1_704_067_200_000),
    // Below 2^53, so that JavaScript keeps every digit.
    preset("js53", "time:41,worker:4,counter:8", 1, 1_704_067_200_000),
    // Twitter's Snowflake of 2010.
    preset("twitter", "time:41,datacenter:5,worker:5,counter:12", 1, 1_288_834_974_657),
    // From 2015-01-01.
    unsigned(preset("discord", "time:42,worker:5,process:5,counter:12", 1, 1_420_070_400_000)),
    unsigned(preset("instagram", "time:41,shard:13,counter:10", 1, 1_314_220_021_721)),
    // Version 1, from 2014-09-01, and version 2, from 2025-01-01.
    preset("sonyflake", "time:39,counter:8,machine:16", 10, 1_409_529_600_000),
    preset("sonyflake2", "time:39,counter:8,machine:16", 10, 1_735_689_600_000),
    unsigned(preset("mastodon", "time:48,counter:16", 1, 0)),
    // uid-generator, whose default ran out in 2024.
    preset("baidu", "time:28,worker:22,counter:13", 1000, 1_463_673_600_000),
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

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;
    use crate::snowflake::layout::Parts;

    #[test]
    fn every_preset_is_a_layout_that_is_found_by_its_name_and_reads_as_it_is_written() {
        for preset in PRESETS {
            let layout = preset.layout();
            assert_eq!(find(preset.name), Some(layout));
            assert_eq!(name_of(&layout), Some(preset.name));
            assert_eq!(layout.to_string().parse(), Ok(layout));
        }
        assert!(find("js53").is_some_and(|layout| layout.bits() == 53));
    }

    #[test]
    fn published_ids_are_made_of_the_published_parts() {
        let cases = [
            // Wikipedia, "Snowflake ID": machine 378 is data centre 11, worker 26.
            ("twitter", 1_541_815_603_606_036_480, 1_656_432_460_105, 378, 0),
            // Discord's developer documentation, "Snowflakes": worker 1, process 0.
            ("discord", 175_928_847_299_117_063, 1_462_015_105_796, 1 << 5, 7),
        ];
        for (name, id, time, worker, counter) in cases {
            let layout = find(name).unwrap();
            let tick = layout.tick_at(UnixMillis(time)).unwrap();
            let parts = Parts { tick, worker, counter };
            assert_eq!(layout.decompose(id), Some(parts), "{name}");
            assert_eq!(layout.compose(parts), id, "{name}");
        }
        // Instagram's engineering blog, "Sharding & IDs": 1387263000 ms after the epoch, shard
        // 1341, and the 5001st ID of a shard.
        let (time, worker, counter) = (1_387_263_000, 1341, 5001 % 1024);
        let layout = find("instagram").unwrap();
        let id = time << 23 | u64::from(worker) << 10 | counter;
        assert_eq!(layout.compose(Parts { tick: time, worker, counter }), id);
    }

    #[test]
    fn the_default_of_baidu_ran_out_when_it_did() {
        // 2024-11-20T13:24:16Z.
        assert_eq!(find("baidu").unwrap().runs_out(), UnixMillis(1_732_109_056_000));
    }
}
