//! The parts of a DNS message that a question for addresses needs. Source: RFC 1035, 4.1; RFC 3596, 2.

use std::net::IpAddr;

use super::query::Answer;

const HEADER: usize = 12;
/// In the header's flags: this is an answer, it was cut, recursion is wanted. The lowest four bits are its code.
const RESPONSE: u16 = 1 << 15;
const CUT: u16 = 1 << 9;
const RECURSION_DESIRED: u16 = 1 << 8;
const CLASS_IN: u16 = 1;
/// The longest name, with the lengths of its labels.
const MAX_NAME: usize = 255;

/// The type of record that is asked for, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    A = 1,
    Aaaa = 28,
}

/// One question; none if that is no name.
pub(super) fn question(id: u16, name: &str, kind: Kind) -> Option<Vec<u8>> {
    let mut message = Vec::with_capacity(HEADER + MAX_NAME + 4);
    for word in [id, RECURSION_DESIRED, 1, 0, 0, 0] {
        message.extend(word.to_be_bytes());
    }
    for label in name.strip_suffix('.').unwrap_or(name).split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..64).contains(length))?;
        message.push(length);
        message.extend(label.bytes());
    }
    message.push(0);
    if message.len() > HEADER + MAX_NAME {
        return None;
    }
    message.extend([kind as u16, CLASS_IN].iter().flat_map(|word| word.to_be_bytes()));
    Some(message)
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    Whole(Answer),
    /// The rest comes over TCP only.
    Cut,
}

/// None for what is no answer to this very question.
pub(super) fn read(message: &[u8], question: &[u8]) -> Option<Read> {
    let (header, asked) = question.split_at_checked(HEADER)?;
    let mut rest = message;
    let (id, flags) = (take(&mut rest, 2)?, number(&mut rest)?);
    let [questions, answers, ..] = [(); 4].map(|()| number(&mut rest));
    // Letters of the name only can differ in case: no length of a label, no type and no class is a letter.
    let same = take(&mut rest, asked.len())?.eq_ignore_ascii_case(asked);
    if id != &header[..2] || flags & RESPONSE == 0 || questions? != 1 || !same {
        return None;
    }
    let is_cut = flags & CUT != 0;
    let addresses = match addresses(rest, answers?) {
        None if is_cut => return Some(Read::Cut),
        addresses => addresses?,
    };
    Some(Read::Whole(match flags & 0xf {
        0 if !addresses.is_empty() => Answer::Addresses(addresses),
        0 if is_cut => return Some(Read::Cut),
        0 => Answer::NoAddress,
        3 => Answer::NoSuchName,
        code => Answer::Failed(format!("it answered {}", name_of(code))),
    }))
}

/// Any message, as the answer to a question by its own number.
#[cfg(feature = "fuzzing")]
pub(crate) fn fuzz_dns(bytes: &[u8]) {
    let id = bytes.first_chunk().map_or(0, |id| u16::from_be_bytes(*id));
    for kind in [Kind::A, Kind::Aaaa] {
        drop(question(id, "x.example", kind).and_then(|question| read(bytes, &question)));
    }
}

/// As `dig` says it.
fn name_of(code: u16) -> String {
    match code {
        1 => "FORMERR".to_owned(),
        2 => "SERVFAIL".to_owned(),
        4 => "NOTIMP".to_owned(),
        5 => "REFUSED".to_owned(),
        code => format!("with the code {code}"),
    }
}

/// Those of so many records, whichever names they are of: aliases come with them.
fn addresses(mut records: &[u8], count: u16) -> Option<Vec<IpAddr>> {
    let mut addresses = Vec::new();
    for _ in 0..count {
        skip_name(&mut records)?;
        let (kind, class) = (number(&mut records)?, number(&mut records)?);
        take(&mut records, 4)?; // how long it may be kept
        let length = number(&mut records)?;
        let data = take(&mut records, length.into())?;
        if class == CLASS_IN && kind == Kind::A as u16 {
            addresses.push(<[u8; 4]>::try_from(data).ok()?.into());
        } else if class == CLASS_IN && kind == Kind::Aaaa as u16 {
            addresses.push(<[u8; 16]>::try_from(data).ok()?.into());
        }
    }
    Some(addresses)
}

/// Labels up to the empty one, or up to a pointer at the rest.
fn skip_name(rest: &mut &[u8]) -> Option<()> {
    loop {
        match *take(rest, 1)?.first()? {
            0 => return Some(()),
            length @ 1..64 => take(rest, length.into())?,
            0xc0.. => return take(rest, 1).map(drop),
            _ => return None,
        };
    }
}

fn number(rest: &mut &[u8]) -> Option<u16> {
    take(rest, 2)?.try_into().ok().map(u16::from_be_bytes)
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(count)?;
    *rest = left;
    Some(taken)
}

/// simple-dns is the other side.
#[cfg(test)]
pub(super) mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;
    use simple_dns::rdata::{A, AAAA, CNAME, RData, TXT};
    use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, RCODE, ResourceRecord, TYPE};

    use super::*;

    pub(in super::super) fn reply(id: u16, asked: &str, fill: impl FnOnce(&mut Packet<'_>)) -> Vec<u8> {
        let mut packet = Packet::new_reply(id);
        let name = Name::new(asked).unwrap();
        packet.questions.push(Question::new(name, TYPE::A.into(), CLASS::IN.into(), false));
        fill(&mut packet);
        packet.build_bytes_vec_compressed().unwrap()
    }

    fn record(data: RData<'static>) -> ResourceRecord<'static> {
        ResourceRecord::new(Name::new("x.example").unwrap(), CLASS::IN, 9, data)
    }

    pub(in super::super) fn address(packet: &mut Packet<'_>) {
        packet.answers.push(record(RData::CNAME(CNAME(Name::new("y.example").unwrap()))));
        packet.answers.push(record(RData::A(A { address: 0x0a00_0001 })));
    }

    fn asked(id: u16, name: &str, kind: Kind) -> Vec<u8> {
        question(id, name, kind).unwrap()
    }

    #[test]
    fn only_an_answer_to_the_question_counts() {
        let right = reply(7, "X.example", address);
        let found = Read::Whole(Answer::Addresses(vec!["10.0.0.1".parse().unwrap()]));
        assert_eq!(read(&right, &asked(7, "x.example", Kind::A)), Some(found));
        for (id, name, kind) in [
            (8, "x.example", Kind::A),
            (7, "z.example", Kind::A),
            (7, "x.exampl", Kind::A),
            (7, "x.example", Kind::Aaaa),
        ] {
            assert_eq!(read(&right, &asked(id, name, kind)), None, "{id} {name} {kind:?}");
        }
        let own = asked(7, "x.example", Kind::A);
        assert_eq!(read(&own, &own), None);
        assert!((0..right.len()).all(|end| read(&right[..end], &own).is_none()));
    }

    #[test]
    fn every_kind_of_no_is_told_apart() {
        let own = asked(7, "x", Kind::A);
        let code = |code| reply(7, "x", |packet| *packet.rcode_mut() = code);
        let whole = |message: &[u8]| match read(message, &own) {
            Some(Read::Whole(answer)) => answer,
            other => panic!("{other:?}"),
        };
        assert_eq!(whole(&code(RCODE::NameError)), Answer::NoSuchName);
        assert_eq!(whole(&code(RCODE::NoError)), Answer::NoAddress);
        assert_eq!(whole(&code(RCODE::ServerFailure)), Answer::Failed("it answered SERVFAIL".into()));
        let cut = reply(7, "x", |packet| packet.set_flags(PacketFlag::TRUNCATION));
        assert_eq!(read(&cut, &own), Some(Read::Cut));
        // Cut in the middle of a record.
        let mut torn = reply(7, "x", |packet| {
            packet.set_flags(PacketFlag::TRUNCATION);
            address(packet);
        });
        torn.truncate(torn.len() - 1);
        assert_eq!(read(&torn, &own), Some(Read::Cut));
    }

    #[test]
    fn what_is_no_name_is_not_asked_for() {
        for wrong in ["", ".", "a..b", &"a".repeat(64), &"a.".repeat(128)] {
            assert_eq!(question(1, wrong, Kind::A), None, "{wrong}");
        }
        assert_eq!(question(1, "a.b.", Kind::A), question(1, "a.b", Kind::A));
        assert!(question(1, &"a.".repeat(127), Kind::A).is_some());
    }

    proptest! {
        #[test]
        fn questions_are_understood_and_answers_too(
            id: u16,
            name in "[a-zA-Z0-9_-]{1,63}(\\.[a-z0-9]{1,20}){0,5}",
            found: Vec<Result<u32, u128>>,
        ) {
            let own = asked(id, &name, Kind::A);
            let parsed = Packet::parse(&own).unwrap();
            prop_assert_eq!(parsed.id(), id);
            prop_assert!(parsed.has_flags(PacketFlag::RECURSION_DESIRED) && parsed.questions.len() == 1);
            prop_assert_eq!(parsed.questions[0].qname.to_string(), name.clone());
            let answer = reply(id, &name, |packet| {
                packet.answers.push(record(RData::TXT(TXT::new().with_string("x").unwrap())));
                packet.answers.extend(found.iter().map(|found| record(match *found {
                    Ok(address) => RData::A(A { address }),
                    Err(address) => RData::AAAA(AAAA { address }),
                })));
            });
            let wanted: Vec<IpAddr> = found
                .iter()
                .map(|found| found.map_or_else(|v6| v6.to_be_bytes().into(), |v4| Ipv4Addr::from(v4).into()))
                .collect();
            let wanted = if wanted.is_empty() { Answer::NoAddress } else { Answer::Addresses(wanted) };
            prop_assert_eq!(read(&answer, &own), Some(Read::Whole(wanted)));
        }

        #[test]
        fn no_message_is_too_odd(noise: Vec<u8>, records: Vec<u8>) {
            let own = asked(7, "x.example", Kind::A);
            let _ = read(&noise, &own);
            let _ = read(&own, &noise);
            let _ = read(&[&reply(7, "x.example", |packet| *packet.rcode_mut() = RCODE::NoError)[..6], &[0, 9, 0, 0, 0, 0], &own[HEADER..], &records].concat(), &own);
        }
    }
}
