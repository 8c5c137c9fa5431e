//! What an idle minion keeps mapped of its own program.
//!
//! Starting needs most of the program: the command line, configuration, grains, the first handshake; a job needs other parts of it.
//! An idle minion needs little, but what was once touched stays mapped and counts as its memory, on every machine of the fleet. So
//! once it is attached and has nothing to do ([`Settling`]) it gives these pages back; what it needs again the kernel maps again, from
//! its page cache.

use std::{ffi::c_void, io, path::Path, ptr::NonNull};

use nix::sys::mman::{MmapAdvise, madvise};

/// How many of the process's beats, of a second each, a minion is attached and does nothing before it gives back what it had touched:
/// what follows an attachment (roster, trust, jobs that waited) is over then, and what follows a job is, too.
const SETTLED_BEATS: u32 = 5;

/// Tells when a minion has settled: once after it attached, and once after each time it worked.
#[derive(Debug, Default)]
pub struct Settling {
    /// Beats without work, and attached.
    quiet: u32,
    work: u64,
}

impl Settling {
    /// One beat of the process, which did so much work so far. True when it is time to give back.
    pub fn beat(&mut self, attached: bool, work: u64) -> bool {
        if !attached || work != self.work {
            *self = Settling { quiet: 0, work };
            return false;
        }
        self.quiet = self.quiet.saturating_add(1);
        self.quiet == SETTLED_BEATS
    }
}

/// A part of the program in memory.
#[derive(Debug, PartialEq, Eq)]
struct Segment {
    start: usize,
    end: usize,
}

/// Gives back the pages of the program's code and constants. Returns how many bytes of it may be mapped anew, and none where that
/// cannot be told.
///
/// # Errors
/// The system says no; nothing has changed then but what was given back before.
pub fn give_back() -> io::Result<usize> {
    let program = std::env::current_exe()?;
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    let mut bytes = 0;
    for Segment { start, end } in segments(&maps, &program) {
        let Some(at) = NonNull::new(start as *mut c_void) else { continue };
        // SAFETY: the range is a mapping of the running executable that the loader made and that nothing ever unmaps, and that is not
        // writable: its pages hold what the file holds. (Addresses that had to be relocated are in a mapping of their own, which is
        // not taken: there are no text relocations on this platform. A debugger's breakpoints are private copies and would be lost.)
        // Dropped from memory, the next access reads the same bytes from the same file again.
        unsafe { madvise(at, end - start, MmapAdvise::MADV_DONTNEED) }?;
        bytes += end - start;
    }
    Ok(bytes)
}

/// The most that may lie between constants and code: one page, of up to 64 KiB. In memory a linker puts each segment a page further on than
/// in the file. Most often that is the very next page; where the code begins a page in the file, too, it is the one after.
const GAP: usize = 64 << 10;

/// The loader's mappings of the program that hold exactly what its file holds: constants from the start of the file, and the code
/// behind them. What does not look like this is left alone.
fn segments(maps: &str, program: &Path) -> Vec<Segment> {
    let own: Vec<_> = maps.lines().filter_map(|line| mapping(line, program)).collect();
    let pair = own.windows(2).find(|pair| {
        let [(constants, "r--p", 0), (code, "r-xp", _)] = pair else { return false };
        code.start.checked_sub(constants.end).is_some_and(|gap| gap <= GAP)
    });
    let found = pair.map(|pair| pair.iter().map(|(s, ..)| Segment { start: s.start, end: s.end }));
    found.into_iter().flatten().collect()
}

/// A line of `/proc/self/maps`: addresses, permissions, offset, device, inode, path.
fn mapping<'a>(line: &'a str, program: &Path) -> Option<(Segment, &'a str, u64)> {
    let mut words = line.splitn(6, ' ');
    let (range, permissions, offset) = (words.next()?, words.next()?, words.next()?);
    let path = words.nth(2)?.trim_start();
    let (start, end) = range.split_once('-')?;
    let hex = |text| usize::from_str_radix(text, 16).ok();
    let segment = Segment { start: hex(start)?, end: hex(end)? };
    let offset = u64::from_str_radix(offset, 16).ok()?;
    (Path::new(path) == program).then_some((segment, permissions, offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: &str = "\
55e0c0000000-55e0c0100000 r--p 00000000 fd:00 42                         /usr/bin/relay minion
55e0c0100000-55e0c0900000 r-xp 00100000 fd:00 42                         /usr/bin/relay minion
55e0c0900000-55e0c0980000 r--p 008ff000 fd:00 42                         /usr/bin/relay minion
55e0c0980000-55e0c0990000 rw-p 0097e000 fd:00 42                         /usr/bin/relay minion
55e0c1000000-55e0c1060000 rw-p 00000000 00:00 0                          [heap]
7f0000000000-7f0000028000 r--p 00000000 fd:00 77                         /usr/lib/libc.so.6
7f0000028000-7f0000180000 r-xp 00028000 fd:00 77                         /usr/lib/libc.so.6
";

    #[test]
    fn constants_and_code_of_the_program_are_taken_and_nothing_that_was_relocated_or_is_another_s() {
        let found = segments(MAPS, Path::new("/usr/bin/relay minion"));
        let (constants, code) = ((0x55e0_c000_0000, 0x55e0_c010_0000), (0x55e0_c010_0000, 0x55e0_c090_0000));
        let expected = [constants, code].map(|(start, end)| Segment { start, end });
        assert_eq!(found, expected);
        assert_eq!(segments(MAPS, Path::new("/usr/bin/other")), []);
    }

    #[test]
    fn a_page_may_lie_between_constants_and_code() {
        let gap = MAPS.replace("55e0c0100000-55e0c0900000", "55e0c0101000-55e0c0901000");
        let found = segments(&gap, Path::new("/usr/bin/relay minion"));
        assert_eq!(found.last(), Some(&Segment { start: 0x55e0_c010_1000, end: 0x55e0_c090_1000 }));
    }

    #[test]
    fn another_layout_is_left_alone() {
        let program = Path::new("/usr/bin/relay minion");
        assert_eq!(segments(&MAPS.replace("r-xp 0010", "rwxp 0010"), program), []);
        assert_eq!(
            segments(&MAPS.replace("55e0c0100000-55e0c0900000", "55e0c0200000-55e0c0900000"), program),
            []
        );
        assert_eq!(segments("garbage\n\n-\n1-2 r-xp", program), []);
    }

    #[test]
    fn it_is_time_once_after_an_attachment_and_once_after_each_work() {
        let mut settling = Settling::default();
        // The beat at which it was time, if it was, and how often it was.
        let mut due = |beats: &[(bool, u64)]| -> (Option<usize>, usize) {
            let told: Vec<bool> =
                beats.iter().map(|(attached, work)| settling.beat(*attached, *work)).collect();
            (told.iter().position(|due| *due), told.iter().filter(|due| **due).count())
        };
        let (never, at) = ((None, 0), |beat| (Some(beat), 1));
        assert_eq!(due(&[(false, 0); 20]), never, "not attached");
        assert_eq!(due(&[(true, 0); 20]), at(4), "once");
        assert_eq!(due(&[(true, 1); 4]), never, "it worked a moment ago");
        assert_eq!(
            due(&[(true, 2); 6]),
            at(5),
            "and went on; the beat that sees the work is none of the quiet ones"
        );
        assert_eq!(due(&[(false, 2), (true, 2), (true, 2)]), never, "the link was gone");
        assert_eq!(due(&[(true, 2); 9]), at(2), "attached again");
    }

    #[test]
    fn the_program_goes_on_after_it_gave_its_pages_back() {
        let before: u64 = (0..1_000).sum();
        assert!(give_back().unwrap() > 0, "a test binary has the layout, too");
        assert_eq!((0..1_000).sum::<u64>(), before);
    }
}
