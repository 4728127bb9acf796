//! Layouts: what the bits of a snowflake ID mean, as a value.

use core::fmt;
use core::str::FromStr;

use crate::limits::{ID_BITS, LABEL_LEN_MAX, LAYOUT_FIELDS_MAX, WORKER_BITS_MAX};
use crate::snowflake::preset;
use crate::time::UnixMillis;

/// The field that holds the tick. It is the most significant one, so that IDs sort by time.
pub const TIME: &str = "time";

/// The field that counts the IDs of one worker in one tick.
pub const COUNTER: &str = "counter";

/// The name of a field: `time`, `counter`, or the name of a part of the worker ID. 1 to
/// [`LABEL_LEN_MAX`] of `a-z 0-9 _`, starting with a letter.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Label {
    bytes: [u8; LABEL_LEN_MAX],
    len: u8,
}

impl Label {
    /// The label `text`; `None` if that is none.
    pub fn new(text: &str) -> Option<Self> {
        let fits = (1..=LABEL_LEN_MAX).contains(&text.len())
            && text.as_bytes()[0].is_ascii_lowercase()
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        let mut bytes = [0; LABEL_LEN_MAX];
        bytes.get_mut(..text.len()).filter(|_| fits)?.copy_from_slice(text.as_bytes());
        Some(Self { bytes, len: text.len() as u8 })
    }

    /// The label as text.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..usize::from(self.len)]).expect("a label is ASCII")
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// One field of a layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Field {
    /// What it is called, and by that what it is for.
    pub label: Label,
    /// How many bits it has; at least 1.
    pub width: u8,
}

/// What the bits of an ID mean: fields from the most significant bit down, the length of a tick,
/// and the moment that ticks are counted from.
///
/// One field is `time`, the first; at most one is `counter`; the others together are the worker
/// ID, their bits put together in the order in which they stand. All together have at most 63
/// bits, or 64 if the layout is unsigned; those above are 0.
///
/// As text: `time:41,worker:10,counter:12@1704067200000/1ms`, with `/unsigned` at the end if it
/// is; the number after `@` is the epoch in milliseconds since 1970. Reading also takes the name
/// of a [preset](mod@super::preset).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Layout {
    fields: [Option<Field>; LAYOUT_FIELDS_MAX],
    tick_ms: u32,
    epoch: UnixMillis,
    unsigned: bool,
}

/// What an ID of a layout is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Parts {
    /// Ticks since the epoch.
    pub tick: u64,
    /// The worker ID: all parts of it put together.
    pub worker: u32,
    /// Counts the IDs of one worker in one tick.
    pub counter: u64,
}

/// Why a layout is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayoutError {
    /// The text does not have the form of a layout.
    Syntax,
    /// There are no fields or too many.
    FieldCount,
    /// A label is no label, or stands there twice.
    Label,
    /// A field has no bit.
    EmptyField,
    /// The widths add up to this many bits, more than an ID has.
    TooWide(u32),
    /// The first field is not `time`, or there is none.
    TimeNotFirst,
    /// The parts of the worker ID have this many bits, more than [`WORKER_BITS_MAX`].
    WorkerTooWide(u32),
    /// A tick has no length, or more than an hour.
    Tick,
}

/// Why a moment has no tick in a layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutOfTime {
    /// It lies before the epoch.
    BeforeEpoch,
    /// The time field has no more room.
    RunOut,
}

/// The longest tick in milliseconds.
const TICK_MS_MAX: u32 = 3_600_000;

impl Layout {
    /// A layout of `fields`, from the most significant bit down.
    ///
    /// # Errors
    /// [`LayoutError`] says what does not fit.
    pub fn new(
        fields: &[Field],
        tick_ms: u32,
        epoch: UnixMillis,
        unsigned: bool,
    ) -> Result<Self, LayoutError> {
        if !(1..=LAYOUT_FIELDS_MAX).contains(&fields.len()) {
            return Err(LayoutError::FieldCount);
        }
        if !(1..=TICK_MS_MAX).contains(&tick_ms) {
            return Err(LayoutError::Tick);
        }
        for (index, field) in fields.iter().enumerate() {
            if fields[..index].iter().any(|before| before.label == field.label) {
                return Err(LayoutError::Label);
            }
            if field.width == 0 {
                return Err(LayoutError::EmptyField);
            }
        }
        if fields[0].label.as_str() != TIME {
            return Err(LayoutError::TimeNotFirst);
        }
        let width: u32 = fields.iter().map(|field| u32::from(field.width)).sum();
        if width > ID_BITS + u32::from(unsigned) {
            return Err(LayoutError::TooWide(width));
        }
        let mut layout = Self { fields: [None; LAYOUT_FIELDS_MAX], tick_ms, epoch, unsigned };
        for (slot, field) in layout.fields.iter_mut().zip(fields) {
            *slot = Some(*field);
        }
        if layout.worker_bits() > WORKER_BITS_MAX {
            return Err(LayoutError::WorkerTooWide(layout.worker_bits()));
        }
        Ok(layout)
    }

    /// The fields, from the most significant bit down.
    pub fn fields(&self) -> impl DoubleEndedIterator<Item = Field> + '_ {
        self.fields.iter().flatten().copied()
    }

    /// The length of a tick in milliseconds.
    pub const fn tick_ms(&self) -> u32 {
        self.tick_ms
    }

    /// The moment that ticks are counted from.
    pub const fn epoch(&self) -> UnixMillis {
        self.epoch
    }

    /// The bits of an ID that have a meaning; those above are 0.
    pub fn bits(&self) -> u32 {
        self.fields().map(|field| u32::from(field.width)).sum()
    }

    fn bits_of(&self, label: &str) -> u32 {
        self.fields().find(|f| f.label.as_str() == label).map_or(0, |f| u32::from(f.width))
    }

    /// The bits of the tick.
    pub fn time_bits(&self) -> u32 {
        self.bits_of(TIME)
    }

    /// The bits of the counter.
    pub fn counter_bits(&self) -> u32 {
        self.bits_of(COUNTER)
    }

    /// The bits of the worker ID, all parts together.
    pub fn worker_bits(&self) -> u32 {
        self.bits() - self.time_bits() - self.counter_bits()
    }

    /// How many worker IDs there are.
    pub fn workers(&self) -> u64 {
        1 << self.worker_bits()
    }

    /// How many IDs one worker has in one tick.
    pub fn ids_per_tick(&self) -> u64 {
        1_u64.checked_shl(self.counter_bits()).unwrap_or(u64::MAX)
    }

    /// How many ticks there are: the first one that does not fit any more.
    pub fn ticks(&self) -> u64 {
        1_u64.checked_shl(self.time_bits()).unwrap_or(u64::MAX)
    }

    /// How far two IDs are apart that have the same tick and worker ID, and counters one apart.
    pub fn counter_step(&self) -> u64 {
        let below = self.fields().rev().take_while(|field| field.label.as_str() != COUNTER);
        let below: u32 = below.map(|field| u32::from(field.width)).sum();
        if self.counter_bits() == 0 { 1 } else { 1 << below }
    }

    /// The tick in which `now` lies.
    ///
    /// # Errors
    /// [`OutOfTime`] if no ID can carry that moment.
    pub fn tick_at(&self, now: UnixMillis) -> Result<u64, OutOfTime> {
        let since = now.0.checked_sub(self.epoch.0).ok_or(OutOfTime::BeforeEpoch)?;
        let tick = since / u64::from(self.tick_ms);
        if tick < self.ticks() { Ok(tick) } else { Err(OutOfTime::RunOut) }
    }

    /// When `tick` begins.
    pub const fn time_of(&self, tick: u64) -> UnixMillis {
        self.epoch.plus(tick.saturating_mul(self.tick_ms as u64))
    }

    /// The first moment that no ID can carry any more.
    pub fn runs_out(&self) -> UnixMillis {
        self.time_of(self.ticks())
    }

    /// The ID made of `parts`. Bits that do not fit their field are cut off.
    pub fn compose(&self, parts: Parts) -> u64 {
        let mut worker_left = self.worker_bits();
        let mut id: u64 = 0;
        for field in self.fields() {
            let width = u32::from(field.width);
            let value = match field.label.as_str() {
                TIME => parts.tick,
                COUNTER => parts.counter,
                _ => {
                    worker_left -= width;
                    u64::from(parts.worker) >> worker_left
                }
            };
            id = id.checked_shl(width).unwrap_or(0) | (value & ones(width));
        }
        id
    }

    /// What `id` is made of; `None` if it has bits above the layout's.
    pub fn decompose(&self, id: u64) -> Option<Parts> {
        if id & !ones(self.bits()) != 0 {
            return None;
        }
        let mut parts = Parts { tick: 0, worker: 0, counter: 0 };
        for (field, value) in self.values(id) {
            match field.label.as_str() {
                TIME => parts.tick = value,
                COUNTER => parts.counter = value,
                _ => parts.worker = (parts.worker << field.width) | value as u32,
            }
        }
        Some(parts)
    }

    /// The value of each field of `id`, from the most significant bit down.
    pub fn values(&self, id: u64) -> impl Iterator<Item = (Field, u64)> + '_ {
        let mut left = self.bits();
        self.fields().map(move |field| {
            let width = u32::from(field.width);
            left -= width;
            (field, (id >> left) & ones(width))
        })
    }
}

/// The lowest `width` bits set.
const fn ones(width: u32) -> u64 {
    if width >= u64::BITS { u64::MAX } else { (1 << width) - 1 }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, field) in self.fields().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{}:{}", field.label.as_str(), field.width)?;
        }
        write!(f, "@{}/{}ms", self.epoch.0, self.tick_ms)?;
        f.write_str(if self.unsigned { "/unsigned" } else { "" })
    }
}

impl fmt::Debug for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Layout({self})")
    }
}

impl FromStr for Layout {
    type Err = LayoutError;

    fn from_str(text: &str) -> Result<Self, LayoutError> {
        if let Some(layout) = preset::find(text) {
            return Ok(layout);
        }
        let (text, unsigned) =
            text.strip_suffix("/unsigned").map_or((text, false), |text| (text, true));
        let (fields, rest) = text.split_once('@').ok_or(LayoutError::Syntax)?;
        let (epoch, tick) = rest.split_once('/').ok_or(LayoutError::Syntax)?;
        let tick = tick.strip_suffix("ms").ok_or(LayoutError::Syntax)?;
        let tick_ms = u32::try_from(number(tick)?).map_err(|_| LayoutError::Tick)?;
        Self::with_fields(fields, tick_ms, UnixMillis(number(epoch)?), unsigned)
    }
}

impl Layout {
    /// A layout of fields that are given as text, such as `time:41,worker:10,counter:12`.
    ///
    /// # Errors
    /// [`LayoutError`] says what does not fit.
    pub fn with_fields(
        fields: &str,
        tick_ms: u32,
        epoch: UnixMillis,
        unsigned: bool,
    ) -> Result<Self, LayoutError> {
        let time = Field { label: Label::new(TIME).ok_or(LayoutError::Label)?, width: 0 };
        let mut found = [time; LAYOUT_FIELDS_MAX];
        let mut count = 0;
        for field in fields.split(',') {
            let (label, width) = field.split_once(':').ok_or(LayoutError::Syntax)?;
            let label = Label::new(label).ok_or(LayoutError::Label)?;
            let width = number(width)?.min(u64::from(u8::MAX)) as u8;
            *found.get_mut(count).ok_or(LayoutError::FieldCount)? = Field { label, width };
            count += 1;
        }
        Self::new(&found[..count], tick_ms, epoch, unsigned)
    }
}

fn number(digits: &str) -> Result<u64, LayoutError> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(LayoutError::Syntax);
    }
    digits.parse().map_err(|_| LayoutError::Syntax)
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax => f.write_str(
                "a layout is the name of a preset, or fields such as time:41,worker:10,counter:12",
            ),
            Self::FieldCount => write!(f, "a layout has 1 to {LAYOUT_FIELDS_MAX} fields"),
            Self::Label => write!(
                f,
                "the fields have names of their own, of 1 to {LABEL_LEN_MAX} of a-z 0-9 _"
            ),
            Self::EmptyField => f.write_str("a field has at least one bit"),
            Self::TooWide(bits) => write!(
                f,
                "the widths add up to {bits} bits; an ID has {ID_BITS}, or one more if it is \
                 unsigned"
            ),
            Self::TimeNotFirst => {
                f.write_str("the first field is time, or the IDs would not sort by it")
            }
            Self::WorkerTooWide(bits) => write!(
                f,
                "every field but time and counter is a part of the worker ID, which has at most \
                 {WORKER_BITS_MAX} bits, not {bits}"
            ),
            Self::Tick => write!(f, "a tick is 1 to {TICK_MS_MAX} milliseconds long"),
        }
    }
}

impl core::error::Error for LayoutError {}

#[cfg(test)]
mod tests {
    use std::string::ToString;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn layouts() -> impl Strategy<Value = Layout> {
        let widths = proptest::collection::vec(1..=20_u8, 0..6);
        (1..=48_u8, widths, 0..7_usize, 1..=5000_u32, any::<u32>()).prop_filter_map(
            "it is too wide",
            |(time, widths, counter, tick_ms, epoch)| {
                let mut fields = Vec::from([Field { label: Label::new(TIME)?, width: time }]);
                for (index, width) in widths.into_iter().enumerate() {
                    let part = alloc::format!("part_{index}");
                    let label = if index == counter { COUNTER } else { &part };
                    fields.push(Field { label: Label::new(label)?, width });
                }
                let epoch = UnixMillis(u64::from(epoch));
                Layout::new(&fields, tick_ms, epoch, epoch.0.is_multiple_of(2)).ok()
            },
        )
    }

    proptest! {
        #[test]
        fn ids_are_taken_apart_as_they_were_put_together(
            layout in layouts(), tick: u64, worker: u32, counter: u64,
        ) {
            let parts = Parts {
                tick: tick % layout.ticks(),
                worker: (u64::from(worker) % layout.workers()) as u32,
                counter: counter % layout.ids_per_tick(),
            };
            let id = layout.compose(parts);
            prop_assert_eq!(layout.decompose(id), Some(parts));
            prop_assert_eq!(layout.to_string().parse(), Ok(layout));
            let time = layout.time_of(parts.tick);
            prop_assert_eq!(layout.tick_at(time), Ok(parts.tick));
            if parts.counter > 0 {
                let before = layout.compose(Parts { counter: parts.counter - 1, ..parts });
                prop_assert_eq!(id - before, layout.counter_step());
            }
            if let Some(above) = 1_u64.checked_shl(layout.bits()) {
                prop_assert_eq!(layout.decompose(id | above), None);
            }
        }

        #[test]
        fn no_text_makes_reading_a_layout_panic(text in ".{0,60}") {
            let _: Result<Layout, LayoutError> = text.parse();
        }
    }

    #[test]
    fn what_is_no_layout_is_refused_for_its_reason() {
        let read = |text: &str| text.parse::<Layout>().unwrap_err();
        for (text, error) in [
            ("", LayoutError::Syntax),
            ("time:41", LayoutError::Syntax),
            ("time:41@0/1", LayoutError::Syntax),
            ("time:+1@0/1ms", LayoutError::Syntax),
            ("time:41,time:2@0/1ms", LayoutError::Label),
            ("time:41,Worker:2@0/1ms", LayoutError::Label),
            ("time:41,w:0@0/1ms", LayoutError::EmptyField),
            ("w:4,time:41@0/1ms", LayoutError::TimeNotFirst),
            ("time:42,w:10,counter:12@0/1ms", LayoutError::TooWide(64)),
            ("time:42,w:11,counter:12@0/1ms/unsigned", LayoutError::TooWide(65)),
            ("time:20,w:20,v:5@0/1ms", LayoutError::WorkerTooWide(25)),
            ("time:41@0/0ms", LayoutError::Tick),
            ("time:9,a:1,b:1,c:1,d:1,e:1,f:1,g:1,h:1@0/1ms", LayoutError::FieldCount),
        ] {
            assert_eq!(read(text), error, "{text}");
        }
    }
}
