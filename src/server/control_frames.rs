//! Limits the frames of HTTP/2 that cost time and carry no request: PING, PRIORITY, SETTINGS, `WINDOW_UPDATE`,
//! `RST_STREAM`, unknown types, and DATA without data.
//!
//! The meter reads only the nine bytes of each frame header (RFC 9113, section 4.1).

use tokio::time::Instant;

/// Length of the client's connection preface (RFC 9113, section 3.4).
const PREFACE_BYTES: usize = 24;
const FRAME_HEADER_BYTES: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const FLAG_END_STREAM: u8 = 1;
/// Frames that a connection may send at once, beside one for each allowed reset.
const BURST_FRAMES: f64 = 200.0;
/// Frames per second after a burst.
const FRAMES_PER_SECOND: f64 = 20.0;
/// Frames that each request allows beside these.
const FRAMES_PER_REQUEST: f64 = 4.0;

/// The allowance of one connection.
#[derive(Debug)]
pub struct ControlFrameMeter {
    payload_left: usize,
    header: [u8; FRAME_HEADER_BYTES],
    header_filled: usize,
    burst: f64,
    allowance: f64,
    refilled_at: Instant,
}

impl ControlFrameMeter {
    /// Returns a meter for a new connection.
    #[must_use]
    pub fn new(max_stream_resets: u64) -> Self {
        let burst = BURST_FRAMES + f64::from(u32::try_from(max_stream_resets).unwrap_or(u32::MAX));
        Self {
            payload_left: PREFACE_BYTES,
            header: [0; FRAME_HEADER_BYTES],
            header_filled: 0,
            burst,
            allowance: burst,
            refilled_at: Instant::now(),
        }
    }

    /// Reads received bytes. Returns false once the client is over its allowance.
    #[must_use]
    pub fn observe(&mut self, bytes: &[u8]) -> bool {
        self.observe_at(bytes, Instant::now())
    }

    fn observe_at(&mut self, mut bytes: &[u8], now: Instant) -> bool {
        let refill = now.duration_since(self.refilled_at).as_secs_f64() * FRAMES_PER_SECOND;
        self.allowance = (self.allowance + refill).min(self.burst);
        self.refilled_at = now;
        while !bytes.is_empty() {
            let skipped = self.payload_left.min(bytes.len());
            self.payload_left -= skipped;
            bytes = &bytes[skipped..];
            let copied = (FRAME_HEADER_BYTES - self.header_filled).min(bytes.len());
            if self.payload_left == 0 && copied > 0 {
                self.header[self.header_filled..self.header_filled + copied].copy_from_slice(&bytes[..copied]);
                self.header_filled += copied;
                bytes = &bytes[copied..];
                if self.header_filled == FRAME_HEADER_BYTES {
                    self.header_filled = 0;
                    self.count_frame();
                }
            }
        }
        self.allowance >= 0.0
    }

    fn count_frame(&mut self) {
        let [length_high, length_middle, length_low, kind, flags, ..] = self.header;
        self.payload_left = u32::from_be_bytes([0, length_high, length_middle, length_low]) as usize;
        match kind {
            HEADERS => self.allowance = (self.allowance + FRAMES_PER_REQUEST).min(self.burst),
            // h2 limits the CONTINUATION frames of a request.
            CONTINUATION => {}
            DATA if self.payload_left > 0 || flags & FLAG_END_STREAM != 0 => {}
            _ => self.allowance -= 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).unwrap().to_be_bytes();
        let mut bytes = vec![length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
        bytes.resize(FRAME_HEADER_BYTES + payload, 0);
        bytes
    }

    /// Sends the preface and `frames` in parts of `size` bytes; returns whether all are allowed.
    fn send(frames: &[Vec<u8>], size: usize) -> bool {
        let mut meter = ControlFrameMeter::new(20);
        let bytes = [vec![b'P'; PREFACE_BYTES], frames.concat()].concat();
        let now = meter.refilled_at;
        bytes.chunks(size).all(|part| meter.observe_at(part, now))
    }

    #[test]
    fn floods_end_at_the_burst_however_they_are_cut() {
        for size in [1, 7, 9, 10, 16 << 10] {
            // PRIORITY, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, an unknown type, DATA without data.
            for (kind, payload) in [(2, 5), (3, 4), (4, 0), (6, 8), (8, 4), (0xee, 3), (0, 0)] {
                assert!(send(&vec![frame(kind, 0, payload); 220], size), "{kind}");
                assert!(!send(&vec![frame(kind, 0, payload); 222], size), "{kind}");
            }
            assert!(send(&vec![frame(DATA, 0, 100); 2000], size), "a body");
            let request = [frame(HEADERS, 0, 30), frame(DATA, 0, 9), frame(DATA, FLAG_END_STREAM, 0), frame(8, 0, 4)];
            assert!(send(&vec![request.concat(); 2000], size), "requests");
        }
    }

    #[test]
    fn allowance_refills_with_time() {
        let mut meter = ControlFrameMeter::new(20);
        let pings = [vec![0; PREFACE_BYTES], vec![frame(6, 0, 8); 220].concat()].concat();
        let start = meter.refilled_at;
        assert!(meter.observe_at(&pings, start));
        let later = start + std::time::Duration::from_secs(1);
        assert!(meter.observe_at(&vec![frame(6, 0, 8); 20].concat(), later));
        assert!(!meter.observe_at(&frame(6, 0, 8), later));
    }
}
