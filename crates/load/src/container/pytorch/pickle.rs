//! A machine for pickles that builds data and runs nothing.
//!
//! What would be a call stays a description of one ([`Node::Object`]): its callee, its arguments and what was put into
//! it afterwards. Every opcode of protocols 0 to 5 is known; each name that a pickle would import is listed.
//!
//! Source: CPython's `Lib/pickletools.py` (what each opcode takes and leaves) and `Lib/pickle.py`.

use std::borrow::Cow;
use std::collections::HashMap;

/// Most opcodes of one pickle.
const MAX_OPCODES: u64 = 10_000_000;

/// Most values that a pickle may refer to again.
const MAX_MEMO: usize = 4_000_000;

/// A value by its place among all of a pickle's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Id(u32);

/// One value.
#[derive(Debug)]
pub(super) enum Node<'a> {
    /// None, a number that is no whole one of 64 bits, a buffer: nothing that tensors are made of.
    Other,
    Bool(bool),
    Integer(i64),
    Text(Cow<'a, str>),
    Bytes(&'a [u8]),
    /// A tuple, a list or a set.
    List(Vec<Id>),
    /// Keys and values in the order in which they were put in, repeated keys too.
    Map(Vec<(Id, Id)>),
    /// Something that would be imported, by its place in [`Pickle::globals`].
    Global(usize),
    /// What the program that reads the pickle keeps elsewhere, by what the pickle says of it: torch's storages.
    Persistent(Id),
    /// What a call would return.
    Object(Box<Object>),
}

/// A call that was not made.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) callee: Id,
    pub(super) arguments: Vec<Id>,
    /// What `__setstate__` would get.
    pub(super) state: Option<Id>,
    /// What would be put into it under keys.
    pub(super) pairs: Vec<(Id, Id)>,
}

/// A name that would be imported, and how often the pickle does so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Global {
    pub(super) module: String,
    pub(super) name: String,
    pub(super) count: u64,
}

/// A pickle that was read up to its end or to where it broke.
#[derive(Debug, Default)]
pub(super) struct Pickle<'a> {
    nodes: Vec<Node<'a>>,
    /// What it would import, in the order of first use.
    pub(super) globals: Vec<Global>,
    /// The value that it stands for; the reason why there is none.
    pub(super) root: Option<Id>,
    /// Bytes read.
    pub(super) length: usize,
    /// Why the machine stopped before the end.
    pub(super) broken: Option<String>,
}

impl<'a> Pickle<'a> {
    pub(super) fn get(&self, id: Id) -> &Node<'a> {
        self.nodes.get(id.0 as usize).unwrap_or(&Node::Other)
    }

    /// All values, in the order in which they were made.
    pub(super) fn nodes(&self) -> impl Iterator<Item = Id> {
        (0..).map(Id).take(self.nodes.len())
    }

    /// The place of a value among all.
    pub(super) fn index(id: Id) -> usize {
        id.0 as usize
    }

    pub(super) fn text(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn integer(&self, id: Id) -> Option<i64> {
        match self.get(id) {
            Node::Integer(n) => Some(*n),
            _ => None,
        }
    }

    /// A count or an offset.
    pub(super) fn count(&self, id: Id) -> Option<u64> {
        self.integer(id).and_then(|n| u64::try_from(n).ok())
    }

    pub(super) fn list(&self, id: Id) -> Option<&[Id]> {
        match self.get(id) {
            Node::List(items) => Some(items),
            _ => None,
        }
    }

    /// Module and name of what would be imported.
    pub(super) fn global(&self, id: Id) -> Option<(&str, &str)> {
        match self.get(id) {
            Node::Global(at) => {
                self.globals.get(*at).map(|global| (global.module.as_str(), global.name.as_str()))
            }
            _ => None,
        }
    }
}

/// Reads one pickle from the beginning of `bytes`, which may go on after it.
pub(super) fn read(bytes: &[u8]) -> Pickle<'_> {
    let mut machine = Machine { bytes, ..Machine::default() };
    let result = machine.run();
    let Machine { mut pickle, at, .. } = machine;
    pickle.length = at;
    match result {
        Ok(root) => pickle.root = Some(root),
        Err(reason) => pickle.broken = Some(reason),
    }
    pickle
}

#[derive(Debug, Default)]
struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Id>,
    /// Heights of the stack at each mark.
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
    by_name: HashMap<(String, String), usize>,
    pickle: Pickle<'a>,
}

/// Why a pickle cannot be read on.
type Step<T> = Result<T, String>;

impl<'a> Machine<'a> {
    fn run(&mut self) -> Step<Id> {
        for _ in 0..MAX_OPCODES {
            let start = self.at;
            let code = self.byte()?;
            if code == b'.' {
                return self.pop();
            }
            self.step(code)
                .map_err(|reason| format!("{reason} (opcode 0x{code:02x} at byte {start})"))?;
        }
        Err(format!("it has more than {MAX_OPCODES} opcodes"))
    }

    fn step(&mut self, code: u8) -> Step<()> {
        match code {
            // Stack and memo.
            b'(' => self.marks.push(self.stack.len()),
            b'0' => self.discard(),
            b'1' => drop(self.up_to_mark()?),
            b'2' => self.stack.push(self.top()?),
            b'p' => {
                let key = self.decimal()?;
                self.memoise(key)?;
            }
            b'q' => {
                let key = u64::from(self.byte()?);
                self.memoise(key)?;
            }
            b'r' => {
                let key = self.number(4)?;
                self.memoise(key)?;
            }
            0x94 => self.memoise(self.memo.len() as u64)?,
            b'g' => {
                let key = self.decimal()?;
                self.recall(key)?;
            }
            b'h' => {
                let key = u64::from(self.byte()?);
                self.recall(key)?;
            }
            b'j' => {
                let key = self.number(4)?;
                self.recall(key)?;
            }
            // Protocol and frames say nothing about values.
            0x80 => drop(self.take(1)?),
            0x95 => drop(self.take(8)?),
            // Plain values.
            b'N' | 0x97 => self.push(Node::Other)?,
            0x88 => self.push(Node::Bool(true))?,
            0x89 => self.push(Node::Bool(false))?,
            b'I' => {
                let line = self.line()?;
                let node = match line {
                    b"00" => Node::Bool(false),
                    b"01" => Node::Bool(true),
                    _ => decimal_node(line)?,
                };
                self.push(node)?;
            }
            b'L' => {
                let line = self.line()?;
                self.push(decimal_node(line.strip_suffix(b"L").unwrap_or(line))?)?;
            }
            b'J' => {
                let bytes = self.take(4)?;
                self.push(signed(bytes))?;
            }
            b'K' => {
                let n = self.number(1)?;
                self.push(unsigned(n))?;
            }
            b'M' => {
                let n = self.number(2)?;
                self.push(unsigned(n))?;
            }
            0x8a | 0x8b => {
                let bytes = self.counted(if code == 0x8a { 1 } else { 4 })?;
                self.push(signed(bytes))?;
            }
            b'F' => {
                self.line()?;
                self.push(Node::Other)?;
            }
            b'G' => {
                self.take(8)?;
                self.push(Node::Other)?;
            }
            // Texts and bytes.
            b'S' => {
                let line = self.line()?;
                let text = quoted(line).ok_or("a text without its quotes")?;
                self.push(Node::Text(unescaped(text)))?;
            }
            b'V' => {
                let line = self.line()?;
                self.push(Node::Text(unescaped(line)))?;
            }
            b'T' | b'X' => self.text_of(4)?,
            b'U' | 0x8c => self.text_of(1)?,
            0x8d => self.text_of(8)?,
            b'B' | b'C' | 0x8e | 0x96 => {
                let width = match code {
                    b'B' => 4,
                    b'C' => 1,
                    _ => 8,
                };
                let bytes = self.counted(width)?;
                self.push(Node::Bytes(bytes))?;
            }
            0x98 => drop(self.top()?),
            // Collections.
            b')' | b']' | 0x8f => self.push(Node::List(Vec::new()))?,
            b'}' => self.push(Node::Map(Vec::new()))?,
            b't' | b'l' | 0x91 => {
                let items = self.up_to_mark()?;
                self.push(Node::List(items))?;
            }
            0x85..=0x87 => {
                let count = usize::from(code.wrapping_sub(0x84));
                let from = self.stack.len().checked_sub(count).ok_or(UNDERFLOW)?;
                self.above_mark(from)?;
                let items = self.stack.split_off(from);
                self.push(Node::List(items))?;
            }
            b'd' => {
                let items = self.up_to_mark()?;
                self.push(Node::Map(pairs(&items)?))?;
            }
            b'a' => {
                let item = self.pop()?;
                self.extend(vec![item])?;
            }
            b'e' | 0x90 => {
                let items = self.up_to_mark()?;
                self.extend(items)?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.put(vec![(key, value)])?;
            }
            b'u' => {
                let items = self.up_to_mark()?;
                self.put(pairs(&items)?)?;
            }
            // What a loader would import and call.
            b'c' => {
                let (module, name) = (self.word()?, self.word()?);
                self.import(module, name)?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let word = |id| self.pickle.text(id).map_or_else(computed, str::to_owned);
                let (module, name) = (word(module), word(name));
                self.import(module, name)?;
            }
            0x82..=0x84 => {
                let width = match code {
                    0x82 => 1,
                    0x83 => 2,
                    _ => 4,
                };
                let number = self.number(width)?;
                self.import("copyreg".to_owned(), format!("extension {number}"))?;
            }
            b'i' => {
                let (module, name) = (self.word()?, self.word()?);
                let arguments = self.up_to_mark()?;
                self.import(module, name)?;
                let callee = self.pop()?;
                self.call(callee, arguments)?;
            }
            b'o' => {
                let mut arguments = self.up_to_mark()?.into_iter();
                let callee = arguments.next().ok_or(UNDERFLOW)?;
                self.call(callee, arguments.collect())?;
            }
            b'R' | 0x81 => {
                let (arguments, callee) = (self.pop()?, self.pop()?);
                self.call_with(callee, arguments)?;
            }
            0x92 => {
                let _keywords = self.pop()?;
                let (arguments, callee) = (self.pop()?, self.pop()?);
                self.call_with(callee, arguments)?;
            }
            b'b' => {
                let state = self.pop()?;
                let id = self.top()?;
                self.build(id, state)?;
            }
            b'P' => {
                let line = self.line()?;
                let text = self.add(Node::Text(String::from_utf8_lossy(line)))?;
                self.push(Node::Persistent(text))?;
            }
            b'Q' => {
                let id = self.pop()?;
                self.push(Node::Persistent(id))?;
            }
            _ => return Err("no opcode of a pickle".to_owned()),
        }
        Ok(())
    }

    fn take(&mut self, count: usize) -> Step<&'a [u8]> {
        let end = self.at.checked_add(count);
        let bytes = end.and_then(|end| self.bytes.get(self.at..end)).ok_or("it ends too early")?;
        self.at = self.at.saturating_add(count);
        Ok(bytes)
    }

    fn byte(&mut self) -> Step<u8> {
        Ok(self.take(1)?.first().copied().unwrap_or(0))
    }

    /// A little-endian number of up to 8 bytes.
    fn number(&mut self, width: usize) -> Step<u64> {
        let mut number = [0; 8];
        for (into, byte) in number.iter_mut().zip(self.take(width)?) {
            *into = *byte;
        }
        Ok(u64::from_le_bytes(number))
    }

    /// As many bytes as the number before them says.
    fn counted(&mut self, width: usize) -> Step<&'a [u8]> {
        let count = self.number(width)?;
        self.take(usize::try_from(count).unwrap_or(usize::MAX))
    }

    fn line(&mut self) -> Step<&'a [u8]> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or("a line without its end")?;
        let line = self.take(end)?;
        self.take(1)?;
        Ok(line)
    }

    fn word(&mut self) -> Step<String> {
        Ok(String::from_utf8_lossy(self.line()?).into_owned())
    }

    fn decimal(&mut self) -> Step<u64> {
        let line = self.line()?;
        let number = std::str::from_utf8(line).ok().and_then(|text| text.trim().parse().ok());
        Ok(number.ok_or("a place in the memo that is no number")?)
    }

    fn text_of(&mut self, width: usize) -> Step<()> {
        let bytes = self.counted(width)?;
        self.push(Node::Text(String::from_utf8_lossy(bytes)))
    }

    fn add(&mut self, node: Node<'a>) -> Step<Id> {
        let id = u32::try_from(self.pickle.nodes.len()).map_err(|_| "too many values")?;
        self.pickle.nodes.push(node);
        Ok(Id(id))
    }

    fn push(&mut self, node: Node<'a>) -> Step<()> {
        let id = self.add(node)?;
        self.stack.push(id);
        Ok(())
    }

    /// Fails when a stack of this height would reach below the last mark.
    fn above_mark(&self, height: usize) -> Step<()> {
        match self.marks.last() {
            Some(mark) if height < *mark => Err(UNDERFLOW.to_owned()),
            _ => Ok(()),
        }
    }

    fn pop(&mut self) -> Step<Id> {
        self.above_mark(self.stack.len().saturating_sub(1))?;
        Ok(self.stack.pop().ok_or(UNDERFLOW)?)
    }

    /// Takes the last value or, when there is none above it, the last mark: as CPython does.
    fn discard(&mut self) {
        if self.marks.last() == Some(&self.stack.len()) {
            self.marks.pop();
        } else {
            self.stack.pop();
        }
    }

    fn top(&self) -> Step<Id> {
        self.above_mark(self.stack.len().saturating_sub(1))?;
        Ok(*self.stack.last().ok_or(UNDERFLOW)?)
    }

    /// The values above the last mark.
    fn up_to_mark(&mut self) -> Step<Vec<Id>> {
        let mark = self.marks.pop().ok_or("there is no mark")?;
        if mark > self.stack.len() {
            return Err(UNDERFLOW.to_owned());
        }
        Ok(self.stack.split_off(mark))
    }

    fn memoise(&mut self, key: u64) -> Step<()> {
        let top = self.top()?;
        self.memo.insert(key, top);
        if self.memo.len() > MAX_MEMO {
            return Err(format!("it keeps more than {MAX_MEMO} values in its memo"));
        }
        Ok(())
    }

    fn recall(&mut self, key: u64) -> Step<()> {
        let id = *self.memo.get(&key).ok_or("nothing at this place in the memo")?;
        self.stack.push(id);
        Ok(())
    }

    fn import(&mut self, module: String, name: String) -> Step<()> {
        let at = *self.by_name.entry((module, name)).or_insert_with_key(|(module, name)| {
            let global = Global { module: module.clone(), name: name.clone(), count: 0 };
            self.pickle.globals.push(global);
            self.pickle.globals.len().saturating_sub(1)
        });
        if let Some(global) = self.pickle.globals.get_mut(at) {
            global.count = global.count.saturating_add(1);
        }
        self.push(Node::Global(at))
    }

    fn call_with(&mut self, callee: Id, arguments: Id) -> Step<()> {
        let arguments = self.pickle.list(arguments).ok_or("arguments that are no list")?.to_vec();
        self.call(callee, arguments)
    }

    fn call(&mut self, callee: Id, arguments: Vec<Id>) -> Step<()> {
        if !matches!(self.pickle.get(callee), Node::Global(_)) {
            // What is called is itself made by a call, or is no function at all.
            self.import(computed(), computed())?;
            self.pop()?;
        }
        let object = Object { callee, arguments, state: None, pairs: Vec::new() };
        self.push(Node::Object(Box::new(object)))
    }

    /// Puts items into the list on top of the stack.
    fn extend(&mut self, items: Vec<Id>) -> Step<()> {
        let top = self.top()?;
        match self.pickle.nodes.get_mut(top.0 as usize) {
            Some(Node::List(list)) => list.extend(items),
            // What `append` of an object does is not known; its items are none of a model's.
            Some(Node::Object(_)) => {}
            _ => return Err("items for what is no list".to_owned()),
        }
        Ok(())
    }

    fn put(&mut self, pairs: Vec<(Id, Id)>) -> Step<()> {
        let top = self.top()?;
        match self.pickle.nodes.get_mut(top.0 as usize) {
            Some(Node::Map(map)) => map.extend(pairs),
            Some(Node::Object(object)) => object.pairs.extend(pairs),
            // An item of what would be imported is changed for the whole program.
            Some(Node::Global(_)) => self.changed_import()?,
            _ => return Err("keys for what is no map".to_owned()),
        }
        Ok(())
    }

    fn build(&mut self, id: Id, state: Id) -> Step<()> {
        match self.pickle.nodes.get_mut(id.0 as usize) {
            Some(Node::Object(object)) => object.state = Some(state),
            Some(Node::Global(_)) => self.changed_import()?,
            _ => return Err("a state for what has none".to_owned()),
        }
        Ok(())
    }

    fn changed_import(&mut self) -> Step<()> {
        self.import(computed(), CHANGED.to_owned())?;
        self.pop()?;
        Ok(())
    }
}

const UNDERFLOW: &str = "a value is missing";

/// Stands for the name of what a pickle changes instead of calling it.
pub(super) const CHANGED: &str = "(attributes of what it imports)";

/// Stands for a module or a name that only running the pickle would tell.
pub(super) const COMPUTED: &str = "(made while unpickling)";

fn computed() -> String {
    COMPUTED.to_owned()
}

fn pairs(items: &[Id]) -> Step<Vec<(Id, Id)>> {
    let (pairs, rest) = items.as_chunks::<2>();
    if !rest.is_empty() {
        return Err("a key without a value".to_owned());
    }
    Ok(pairs.iter().map(|[key, value]| (*key, *value)).collect())
}

/// A number of up to 8 bytes in two's complement; longer ones are none of a tensor's.
fn signed<'a>(bytes: &[u8]) -> Node<'a> {
    let is_negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let sign = if is_negative { 0xff } else { 0 };
    // What is longer may only repeat the sign.
    if bytes.get(7..).is_some_and(|high| high.iter().skip(1).any(|byte| *byte != sign))
        || bytes.len() > 8 && bytes.get(7).is_none_or(|top| (top & 0x80 != 0) != is_negative)
    {
        return Node::Other;
    }
    let mut number = [sign; 8];
    for (into, byte) in number.iter_mut().zip(bytes) {
        *into = *byte;
    }
    Node::Integer(i64::from_le_bytes(number))
}

fn unsigned<'a>(n: u64) -> Node<'a> {
    i64::try_from(n).map_or(Node::Other, Node::Integer)
}

fn decimal_node<'a>(line: &[u8]) -> Step<Node<'a>> {
    let text = std::str::from_utf8(line).map_err(|_| "a number that is none")?.trim();
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_') {
        return Err("a number that is none".to_owned());
    }
    Ok(text.parse().map_or(Node::Other, Node::Integer))
}

/// What stands between a pair of quotes.
fn quoted(line: &[u8]) -> Option<&[u8]> {
    let (quote, rest) = line.split_first()?;
    let (last, text) = rest.split_last()?;
    (matches!(quote, b'"' | b'\'') && last == quote).then_some(text)
}

/// Python's escapes of texts, so that no name hides behind them: `\x6f`, `\157`, `\u006f`.
fn unescaped(text: &[u8]) -> Cow<'_, str> {
    if !text.contains(&b'\\') {
        return String::from_utf8_lossy(text);
    }
    let text = String::from_utf8_lossy(text);
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        let mut ahead = rest.clone();
        let digits = |count, radix| {
            let part: String = rest.clone().skip(usize::from(radix == 16)).take(count).collect();
            let valid = part.chars().take_while(|c| c.is_digit(radix)).count();
            let part: String = part.chars().take(valid).collect();
            let full = radix == 8 || valid == count;
            let code = u32::from_str_radix(&part, radix).ok().filter(|_| full && valid > 0);
            code.and_then(char::from_u32)
                .map(|c| (c, valid.saturating_add(usize::from(radix == 16))))
        };
        let found = match ahead.next() {
            Some('x') => digits(2, 16),
            Some('u') => digits(4, 16),
            Some('U') => digits(8, 16),
            Some('0'..='7') => digits(3, 8),
            Some('n') => Some(('\n', 1)),
            Some('t') => Some(('\t', 1)),
            Some('r') => Some(('\r', 1)),
            Some(c @ ('\\' | '\'' | '"')) => Some((c, 1)),
            _ => None,
        };
        if let Some((c, length)) = found {
            out.push(c);
            rest = rest.as_str().chars();
            for _ in 0..length {
                rest.next();
            }
        } else {
            out.push('\\');
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn globals(bytes: &[u8]) -> Vec<String> {
        let found = read(bytes).globals;
        found.into_iter().map(|g| format!("{}.{} {}", g.module, g.name, g.count)).collect()
    }

    #[test]
    fn values_are_data() {
        // {"a": (1, -2, 300), "b": [True, None]}
        let bytes =
            b"\x80\x02}(X\x01\x00\x00\x00aK\x01J\xfe\xff\xff\xffM\x2c\x01\x87U\x01b](\x88Neu.rest";
        let pickle = read(bytes);
        assert_eq!(pickle.broken, None);
        assert_eq!(&bytes[pickle.length..], b"rest");
        let Node::Map(pairs) = pickle.get(pickle.root.unwrap()) else { panic!("{pickle:?}") };
        let (key, value) = pairs[0];
        assert_eq!(pickle.text(key), Some("a"));
        let numbers: Vec<i64> =
            pickle.list(value).unwrap().iter().filter_map(|id| pickle.integer(*id)).collect();
        assert_eq!(numbers, [1, -2, 300]);
        assert_eq!(pickle.list(pairs[1].1).unwrap().len(), 2);
    }

    #[test]
    fn no_name_hides() {
        let calls: [(&[u8], &str); 9] = [
            (b"cos\nsystem\n(S'id'\ntR.", "os.system 1"),
            (b"(S'id'\nios\nsystem\n.", "os.system 1"),
            (b"(cos\nsystem\nS'id'\no.", "os.system 1"),
            (b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02id\x85R.", "os.system 1"),
            // The parts of the name come out of the memo, and behind escapes.
            (b"U\x02osq\x000U\x06systemq\x010h\x00h\x01\x93U\x02id\x85R.", "os.system 1"),
            (b"S'\\x6f\\163'\nV\\u0073ystem\n\x93S'id'\n\x85R.", "os.system 1"),
            (b"cos\nsystem\n)\x81.", "os.system 1"),
            (b"cos\nsystem\n)}\x92.", "os.system 1"),
            // A name that a call would give.
            (b"cbuiltins\nstr\n)R\x8c\x06system\x93.", "(made while unpickling).system 1"),
        ];
        for (bytes, expected) in calls {
            let found = globals(bytes);
            assert!(found.iter().any(|g| g == expected), "{found:?}");
            assert_eq!(read(bytes).broken, None, "{}", String::from_utf8_lossy(bytes));
        }
        // What a call returned is called, and what was imported is changed.
        let found = globals(b"cbuiltins\nstr\n)R)R.");
        assert_eq!(found, ["builtins.str 1", "(made while unpickling).(made while unpickling) 1"]);
        let found = globals(b"cbuiltins\nstr\n}b.");
        assert!(found[1].contains("attributes"), "{found:?}");
    }

    #[test]
    fn what_came_before_a_fault_is_told() {
        let pickle = read(b"cos\nsystem\nS'id'\n\x85R\xff");
        assert_eq!(pickle.globals.len(), 1);
        assert!(pickle.broken.unwrap().contains("0xff at byte 19"));
        for broken in
            [&b""[..], b".", b"a.", b"(K\x01u.", b"}K\x01sa.", b"h\x05.", b"X\xff\xff\xff\xffa."]
        {
            assert!(read(broken).broken.is_some(), "{broken:?}");
        }
    }

    #[test]
    fn nesting_and_sharing_cost_no_more_than_their_bytes() {
        // A list in a list, a million times; each of 40 pairs holds the one before it twice.
        let deep = [vec![b']'; 1_000_000], vec![b'a'; 999_999], vec![b'.']].concat();
        assert_eq!(read(&deep).broken, None);
        let mut laughs = b"]q\x00".to_vec();
        for n in 0..40u8 {
            laughs.extend([b'h', n, b'h', n, 0x86, b'q', n + 1, b'0']);
        }
        laughs.extend(b"h\x28.");
        let pickle = read(&laughs);
        assert_eq!((pickle.broken.as_deref(), pickle.nodes().count()), (None, 41));
    }
}
