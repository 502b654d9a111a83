# SPDX-License-Identifier: LGPL-2.1-or-later
"""A large vault that is plausible, out of a small one that is real; the same for the same size on
every machine. README.md says how. And prompts to it."""

import bisect
import dataclasses
import itertools
import pathlib
import random
import re

SECTION_BYTES = 1700  # below what the chunker splits: a section is a chunk
OWN_WORDS = 60000     # of all pages together, beside the one word that each has to itself
SYLLABLES = ("ka", "ren", "ti", "mo", "sul", "ve", "dra", "po", "lin", "ge", "ba", "tor", "ny",
             "cha", "wes", "fi")
# How often a sentence gets a word of the long tail, and one the word of its page.
TAIL_SHARE, OWN_SHARE = 0.3, 0.1

OPENERS = ("How do I", "What happens when", "Where can I see whether", "Why is it that",
           "Can you explain how", "Is there a way so that", "What should I do if",
           "Please tell me what is meant by", "I would like to know when", "Which of them is it if")
JOINTS = ("and", "but", "because", "so that", "or is it that")


def made_word(number):
    """The number in base 16, each digit a syllable: no two are the same."""
    word = ""
    while True:
        word += SYLLABLES[number % 16]
        number //= 16
        if number == 0:
            return word


def split_blocks(text):
    """What blank lines separate, but for fenced code, which stays whole."""
    block, fence = [], None
    for line in itertools.chain(text.split("\n"), ("",)):
        marks = re.match(r"[> \t]*(`{3,}|~{3,})", line)
        if marks and fence is None:
            fence = marks[1]
        elif marks and marks[1].startswith(fence):
            fence = None
        if line.strip() or fence:
            block.append(line)
        elif block:
            yield "\n".join(block)
            block = []
    if block:
        yield "\n".join(block)


def is_prose(block):
    return block[:1].isalpha() and "\n" not in block


@dataclasses.dataclass
class Page:
    path: pathlib.PurePath  # below the vault
    text: str
    sections: int  # chunks that it becomes


class MadeVault:
    def __init__(self, directory, seed=20260407):
        self.random = random.Random(seed)
        self.topics = []     # (folder, title)
        self.shapes = []     # of each page the shapes of its sections: (marks, number of blocks)
        self.headings = []
        self.blocks = []
        self.sentences = []
        for path in sorted(directory.rglob("*.md")):
            self._learn(path.relative_to(directory), path.read_text(encoding="utf-8"))
        self.pages_made = 0
        # Of word n, 1 / n: few of the tail come again and again, most of them hardly ever.
        self.tail = list(itertools.accumulate(1 / n for n in range(1, OWN_WORDS + 1)))

    def _learn(self, path, text):
        self.topics.append((str(path.parent), path.stem))
        text = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL)
        shape = [["", 0]]
        for block in split_blocks(text):
            heading = re.match(r"(#{1,6}) (.*)", block)
            if heading:
                self.headings.append(heading[2])
                shape.append([heading[1], 0])
                block = block[heading.end():].strip("\n")
            if block and block != "---":  # which at the top of a page would be front matter
                shape[-1][1] += 1
                self.blocks.append(block)
            if is_prose(block):
                self.sentences += re.split(r"(?<=[.!?]) (?=[A-Z])", block)
        self.shapes.append([section for section in shape if section[1]] or [["", 1]])

    def _tail_word(self):
        draw = self.random.random() * self.tail[-1]
        # Four syllables and more, which no word of the vault is by accident.
        return made_word(0x1000 + bisect.bisect(self.tail, draw))

    def _sentence(self, own):
        words = self.random.choice(self.sentences).split(" ")
        draw = self.random.random()
        if draw < TAIL_SHARE + OWN_SHARE:
            word = own if draw < OWN_SHARE else self._tail_word()
            words[self.random.randrange(len(words))] = word
        return " ".join(words)

    def _block(self, own):
        block = self.random.choice(self.blocks)
        if is_prose(block):
            return " ".join(self._sentence(own) for _ in range(block.count(". ") + 1))
        if "```" in block:
            return block
        # Lists, tables and the like keep their shape, with a word of the long tail in place of one.
        words = block.split(" ")
        place = self.random.randrange(len(words))
        if words[place].isalpha():
            words[place] = self._tail_word()
        return " ".join(words)

    def _section(self, marks, n_blocks, own):
        text = f"{marks} {self.random.choice(self.headings)}\n\n" if marks else ""
        added = 0
        for _ in range(n_blocks):
            block = self._block(own)
            if added and len(text) + len(block) > SECTION_BYTES:
                break
            text += block + "\n\n"
            added += 1
        return text

    def page(self, size_min=0):
        """The next page, of as many sections as some page of the real vault has, or as two or more
        of them together when it has to be long."""
        number = self.pages_made
        self.pages_made += 1
        own = self.own_word(number)
        folder, title = self.random.choice(self.topics)
        text, sections = "", 0
        while not text or len(text) < size_min:
            for marks, n_blocks in self.random.choice(self.shapes):
                text += self._section(marks, n_blocks, own)
                sections += 1
        path = pathlib.PurePath(folder, f"{number // 200:03}", f"{title} {own}.md")
        return Page(path, text, sections)

    @staticmethod
    def own_word(number):
        return made_word(0x100000 + number)

    def prompts(self, count, pages):
        """Questions of 5 to 40 words: an opener, and as much of one or more sentences of the real
        vault as there is room for. One in four names a page of the first `pages`."""
        chance = random.Random(f"prompts {count} {pages}")
        found = []
        for number in range(count):
            words = chance.choice(OPENERS).split()
            length = chance.randint(5, 40)
            while len(words) < length:
                sentence = chance.choice(self.sentences)
                words += re.findall(r"[A-Za-z]+(?:'[a-z]+)?", sentence[0].lower() + sentence[1:])
                words += chance.choice(JOINTS).split()
            words = words[:length]
            if number % 4 == 3:
                words[chance.randrange(3, length)] = self.own_word(chance.randrange(pages))
            found.append(" ".join(words) + "?")
        return found
