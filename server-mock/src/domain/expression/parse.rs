//! From text to expression. Binding, loosest first: `or`, `and`, `not`, comparisons and `in`, `+ -`, `* / %`, unary `-`.

use super::{Expression, Function, Operator, Scope, Term};

/// Deeper nesting is refused, so that hostile input cannot exhaust the stack.
const DEPTH_LIMIT: usize = 64;
/// So are longer chains: `a or b or c` is evaluated, and dropped, as deep as it is long. Lists of literals may be of any
/// length.
const OPERATOR_LIMIT: usize = 500;
/// Others are made anew for each subject, and may not.
const LIST_LIMIT: usize = 500;

/// Reads an expression. The error says what is wrong with it.
pub fn parse(text: &str) -> Result<Expression, String> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0, operators: 0 };
    let expression = parser.or()?;
    match parser.tokens.get(parser.at) {
        None => Ok(expression),
        Some(token) => Err(format!("unexpected {}", token.shown())),
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Text(String),
    Number(f64),
    Word(String),
    Sign(&'static str),
}

impl Token {
    fn shown(&self) -> String {
        match self {
            Token::Text(_) => "text".into(),
            Token::Number(number) => number.to_string(),
            Token::Word(word) => format!("`{}`", word.chars().take(32).collect::<String>()),
            Token::Sign(sign) => format!("`{sign}`"),
        }
    }
}

const SIGNS: [&str; 17] =
    ["==", "!=", ">=", "<=", ">", "<", "(", ")", "[", "]", ",", "+", "-", "*", "/", "%", "!"];

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let used = if matches!(first, '"' | '\'') {
            let (text, used) = quoted(rest, first)?;
            found.push(Token::Text(text));
            used
        } else if first.is_ascii_digit() {
            let used = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            found
                .push(Token::Number(rest[..used].parse().map_err(|_| "a number cannot be read".to_owned())?));
            used
        } else if first.is_ascii_alphabetic() || first == '_' {
            let used = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            found.push(Token::Word(rest[..used].to_owned()));
            used
        } else {
            let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
            let sign = sign.ok_or_else(|| format!("unexpected character {first:?}"))?;
            found.push(Token::Sign(sign));
            sign.len()
        };
        rest = rest[used..].trim_start();
    }
    Ok(found)
}

fn quoted(rest: &str, quote: char) -> Result<(String, usize), String> {
    let mut text = String::new();
    let mut characters = rest.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => text.extend(characters.next().map(|(_, escaped)| escaped)),
            end if end == quote => return Ok((text, at + 1)),
            other => text.push(other),
        }
    }
    Err("a text is not closed".into())
}

/// A list: one literal, where all that is in it is.
fn list_of(list: Vec<Expression>) -> Result<Expression, String> {
    if !list.iter().all(|one| matches!(one, Expression::Literal(_))) {
        return match list.len() {
            0..=LIST_LIMIT => Ok(Expression::List(list)),
            _ => Err("a list of more than 500 entries may only hold literals".into()),
        };
    }
    let terms = list
        .into_iter()
        .filter_map(|one| if let Expression::Literal(term) = one { Some(term) } else { None });
    Ok(Expression::Literal(Term::List(terms.collect())))
}

/// `one in list`.
fn among(one: Box<Expression>, list: Expression) -> Expression {
    match list {
        Expression::Literal(Term::List(terms)) => Expression::Among(one, terms.into_iter().collect()),
        other => Expression::Binary(Operator::In, one, Box::new(other)),
    }
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    operators: usize,
}

impl Parser {
    fn take_sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.tokens.get(self.at), Some(Token::Sign(s)) if *s == sign);
        self.at += usize::from(found);
        found
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = matches!(self.tokens.get(self.at), Some(Token::Word(w)) if w == word);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &str) -> Result<(), String> {
        if self.take_sign(sign) { Ok(()) } else { Err(format!("`{sign}` is missing")) }
    }

    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, String>) -> Result<T, String> {
        self.depth += 1;
        if self.depth > DEPTH_LIMIT {
            return Err("the expression is nested too deeply".into());
        }
        let result = inner(self);
        self.depth -= 1;
        result
    }

    fn binary(
        &mut self,
        operator: Operator,
        left: Expression,
        right: Expression,
    ) -> Result<Expression, String> {
        self.operators += 1;
        if self.operators > OPERATOR_LIMIT {
            return Err("the expression has more than 500 operators; `in` takes a list of any length".into());
        }
        Ok(Expression::Binary(operator, Box::new(left), Box::new(right)))
    }

    fn or(&mut self) -> Result<Expression, String> {
        let mut left = self.and()?;
        while self.take_word("or") {
            let right = self.and()?;
            left = self.binary(Operator::Or, left, right)?;
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Expression, String> {
        let mut left = self.not()?;
        while self.take_word("and") {
            let right = self.not()?;
            left = self.binary(Operator::And, left, right)?;
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Expression, String> {
        if self.take_word("not") || self.take_sign("!") {
            return Ok(Expression::Not(Box::new(self.deeper(Self::not)?)));
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Expression, String> {
        const SIGNS: [(&str, Operator); 6] = [
            ("==", Operator::Equal),
            ("!=", Operator::Unequal),
            (">=", Operator::GreaterOrEqual),
            ("<=", Operator::LessOrEqual),
            (">", Operator::Greater),
            ("<", Operator::Less),
        ];
        let mut left = self.sum()?;
        loop {
            let sign = SIGNS.iter().find(|(sign, _)| self.take_sign(sign)).map(|(_, operator)| *operator);
            let Some(operator) = sign.or_else(|| self.take_word("in").then_some(Operator::In)) else {
                return Ok(left);
            };
            let right = self.sum()?;
            left = match self.binary(operator, left, right)? {
                Expression::Binary(Operator::In, one, list) => among(one, *list),
                other => other,
            };
        }
    }

    fn sum(&mut self) -> Result<Expression, String> {
        let mut left = self.product()?;
        loop {
            let operator = if self.take_sign("+") {
                Operator::Add
            } else if self.take_sign("-") {
                Operator::Subtract
            } else {
                return Ok(left);
            };
            let right = self.product()?;
            left = self.binary(operator, left, right)?;
        }
    }

    fn product(&mut self) -> Result<Expression, String> {
        let mut left = self.unary()?;
        loop {
            let operator = if self.take_sign("*") {
                Operator::Multiply
            } else if self.take_sign("/") {
                Operator::Divide
            } else if self.take_sign("%") {
                Operator::Remainder
            } else {
                return Ok(left);
            };
            let right = self.unary()?;
            left = self.binary(operator, left, right)?;
        }
    }

    fn unary(&mut self) -> Result<Expression, String> {
        if self.take_sign("-") {
            return Ok(match self.deeper(Self::unary)? {
                Expression::Literal(Term::Number(number)) => Expression::Literal(Term::Number(-number)),
                other => Expression::Negate(Box::new(other)),
            });
        }
        self.atom()
    }

    fn atom(&mut self) -> Result<Expression, String> {
        let token = self.tokens.get(self.at).cloned().ok_or("the expression ends too early")?;
        self.at += 1;
        match token {
            Token::Text(text) => Ok(Expression::Literal(Term::Text(text))),
            Token::Number(number) => Ok(Expression::Literal(Term::Number(number))),
            Token::Sign("(") => {
                let inner = self.deeper(Self::or)?;
                self.expect(")")?;
                Ok(inner)
            }
            Token::Sign("[") => {
                let mut list = Vec::new();
                while !self.take_sign("]") {
                    if !list.is_empty() {
                        self.expect(",")?;
                    }
                    list.push(self.deeper(Self::or)?);
                }
                list_of(list)
            }
            Token::Word(word) => self.word(&word),
            other => Err(format!("unexpected {}", other.shown())),
        }
    }

    fn word(&mut self, word: &str) -> Result<Expression, String> {
        let scope = match word {
            "true" => return Ok(Expression::Literal(Term::Bool(true))),
            "false" => return Ok(Expression::Literal(Term::Bool(false))),
            "null" => return Ok(Expression::Literal(Term::Null)),
            "undefined" => return Ok(Expression::Literal(Term::Undefined)),
            "properties" => Scope::Properties,
            "user" => Scope::User,
            "event" => Scope::Event,
            _ => return self.call(word),
        };
        self.expect("[")?;
        let Some(Token::Text(name)) = self.tokens.get(self.at).cloned() else {
            return Err(format!("{word}[…] needs a name in quotes"));
        };
        self.at += 1;
        self.expect("]")?;
        Ok(Expression::Access(scope, name))
    }

    fn call(&mut self, word: &str) -> Result<Expression, String> {
        let function = match word {
            "defined" => Function::Defined,
            "floor" => Function::Floor,
            "round" => Function::Round,
            "ceil" => Function::Ceil,
            "boolean" => Function::Boolean,
            "number" => Function::Number,
            "string" => Function::String,
            "datetime" => Function::Datetime,
            _ => return Err(format!("unknown name {}", Token::Word(word.to_owned()).shown())),
        };
        self.expect("(")?;
        let argument = self.deeper(Self::or)?;
        self.expect(")")?;
        Ok(Expression::Call(function, Box::new(argument)))
    }
}
