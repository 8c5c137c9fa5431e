//! The audit log as a file, a line for each record and one for each checkpoint, as `relayctl audit verify` reads it.
//!
//! A file that is too large is put aside, and so many of those are kept. A file that somebody else moved away (logrotate) is
//! noticed by the next write, which makes a new one.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use relay_core::audit::{Entry, Line, checkpoint_line, line::MAX_LINE_BYTES};
use relay_runtime::config::AuditFile;

use super::Output;

/// For its owner alone: it says who commands what.
const MODE: u32 = 0o600;
/// So far from a file's end its last record is looked for: behind it there is at most a checkpoint and half a line.
const LOOK_BACK: u64 = 3 * MAX_LINE_BYTES as u64;

/// The file.
pub(super) struct FileOutput {
    config: AuditFile,
    open: Option<Opened>,
}

struct Opened {
    file: File,
    bytes: u64,
    /// Device and inode.
    is: (u64, u64),
}

impl FileOutput {
    pub(super) fn new(config: AuditFile) -> FileOutput {
        FileOutput { config, open: None }
    }

    /// The file, if it is still the one at the path; else a new one, or the one that is there.
    fn opened(&mut self) -> io::Result<&mut Opened> {
        let path = &self.config.path;
        let there = fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
        let open = match self.open.take().filter(|open| Some(open.is) == there) {
            Some(open) => open,
            None => open(path)?,
        };
        Ok(self.open.insert(open))
    }

    /// Where a slow disk holds nobody up.
    async fn append_aside(&mut self, text: Vec<u8>) -> io::Result<()> {
        let mut own = std::mem::replace(self, FileOutput::new(self.config.clone()));
        let work = move || {
            let done = own.append(&text);
            (own, done)
        };
        let (own, done) = tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?;
        *self = own;
        done
    }

    fn append(&mut self, text: &[u8]) -> io::Result<()> {
        let named = |path: &Path, e: io::Error| io::Error::other(format!("{}: {e}", path.display()));
        let path = self.config.path.clone();
        if self.opened().map_err(|e| named(&path, e))?.bytes > self.config.rotate_bytes {
            self.open = None;
            put_aside(&self.config).map_err(|e| named(&path, e))?;
        }
        let opened = self.opened().map_err(|e| named(&path, e))?;
        let before = opened.bytes;
        let written = opened.file.write_all(text);
        match written {
            Ok(()) => opened.bytes += text.len() as u64,
            Err(error) => {
                // Half a line is none.
                let _ = opened.file.set_len(before);
                self.open = None;
                return Err(named(&path, error));
            }
        }
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<Opened> {
    let file = OpenOptions::new().read(true).append(true).create(true).mode(MODE).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    Ok(Opened { file, bytes: found.len(), is: (found.dev(), found.ino()) })
}

fn aside(path: &Path, number: u64) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

/// `PATH` becomes `PATH.1`, that one `PATH.2`; the oldest goes.
fn put_aside(config: &AuditFile) -> io::Result<()> {
    for number in (1..config.keep).rev() {
        match fs::rename(aside(&config.path, number), aside(&config.path, number + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::rename(&config.path, aside(&config.path, 1))
}

impl Output for FileOutput {
    const NAME: &'static str = "file";

    fn has(&mut self) -> io::Result<Option<u64>> {
        let opened = self.opened()?;
        let from = opened.bytes.saturating_sub(LOOK_BACK);
        let mut end = Vec::new();
        opened.file.seek(SeekFrom::Start(from))?;
        Read::take(&mut opened.file, LOOK_BACK).read_to_end(&mut end)?;
        // What a process left that died while it wrote.
        let whole = end.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        if whole < end.len() {
            opened.file.set_len(from + whole as u64)?;
            opened.bytes = from + whole as u64;
        }
        let mut lines = end[..whole].split(|byte| *byte == b'\n').rev();
        let seq = lines.find_map(|line| match Line::of(line) {
            Line::Record(line) => Entry::decode(line).ok().map(|entry| entry.seq),
            Line::Checkpoint(_) => None,
        });
        Ok(seq.map(|seq| seq + 1))
    }

    async fn write(&mut self, lines: &[(u64, Bytes)]) -> io::Result<()> {
        let size: usize = lines.iter().map(|(_, line)| line.len() + 1).sum();
        let mut text = Vec::with_capacity(size);
        for (_, line) in lines {
            text.extend_from_slice(line);
            text.push(b'\n');
        }
        self.append_aside(text).await
    }

    async fn checkpoint(&mut self, text: &str) -> io::Result<()> {
        self.append_aside((checkpoint_line(text) + "\n").into_bytes()).await
    }
}

#[cfg(test)]
mod tests {
    use relay_core::{
        audit::{Event, Kind},
        ids::Epoch,
    };

    use super::*;

    fn config(directory: &Path, rotate_bytes: u64) -> AuditFile {
        AuditFile { path: directory.join("audit.jsonl"), rotate_bytes, keep: 2 }
    }

    fn line(seq: u64) -> Vec<u8> {
        let event = Event::new(Kind::Job, "alice", "certificate");
        let mut line = Entry { seq, prev: None, at: 1, epoch: Epoch(1), event }.encode();
        line.push(b'\n');
        line
    }

    fn text(path: &Path) -> Vec<u8> {
        fs::read(path).unwrap_or_default()
    }

    #[test]
    fn it_goes_on_behind_its_last_whole_record() {
        let directory = tempfile::tempdir().unwrap();
        let config = config(directory.path(), 1 << 20);
        assert_eq!(FileOutput::new(config.clone()).has().unwrap(), None);
        let mut output = FileOutput::new(config.clone());
        for seq in 0..3 {
            output.append(&line(seq)).unwrap();
        }
        output.append((checkpoint_line("x") + "\n").as_bytes()).unwrap();
        let whole = text(&config.path);
        output.append(b"{\"at\":1,\"deta").unwrap();
        let mut again = FileOutput::new(config.clone());
        assert_eq!(again.has().unwrap(), Some(3));
        assert_eq!(text(&config.path), whole, "half a line is cut off");
        again.append(&line(3)).unwrap();
        assert_eq!(again.has().unwrap(), Some(4));
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&config.path).unwrap().permissions().mode() & 0o777, MODE);
    }

    #[test]
    fn a_large_file_is_put_aside_and_the_oldest_goes() {
        let directory = tempfile::tempdir().unwrap();
        let config = config(directory.path(), 1);
        let mut output = FileOutput::new(config.clone());
        for seq in 0..4 {
            output.append(&line(seq)).unwrap();
        }
        assert_eq!(text(&config.path), line(3));
        assert_eq!(text(&aside(&config.path, 1)), line(2));
        assert_eq!(text(&aside(&config.path, 2)), line(1));
        assert!(!aside(&config.path, 3).exists());
    }

    #[test]
    fn a_file_that_was_moved_away_is_made_anew() {
        let directory = tempfile::tempdir().unwrap();
        let config = config(directory.path(), 1 << 20);
        let mut output = FileOutput::new(config.clone());
        output.append(&line(0)).unwrap();
        let moved = directory.path().join("moved");
        fs::rename(&config.path, &moved).unwrap();
        output.append(&line(1)).unwrap();
        assert_eq!((text(&moved), text(&config.path)), (line(0), line(1)));
    }
}
