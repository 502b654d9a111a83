/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lib/knowledge/analyzer.h"

#include <errno.h>
#include <libstemmer.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unicase.h>
#include <unictype.h>
#include <uninorm.h>

#include "lib/base/utf8.h"

/* Stems of the words seen last: in running text nearly every word is one of them. */
#define STEMS         4096
#define STEM_WORD_MAX 24
#define STEM_WORD_MIN 3

/* Characters that are folded at once, and the most where there is no place to cut. */
#define PIECE     256
#define PIECE_MAX 1024

struct Stem {
        char word[STEM_WORD_MAX];
        char stem[STEM_WORD_MAX];
        uint8_t word_size, stem_size;
};

struct Analyzer {
        struct sb_stemmer *english;
        struct Stem stems[STEMS];
};

/* One call of analyze(). */
struct Run {
        struct Analyzer *analyzer;
        enum AnalyzerPurpose purpose;
        const struct WantedTerms *wanted; /* NULL: all */
        AnalyzerSink sink;
        void *userdata;
        size_t start, end; /* of the word in the text */
};

int analyzer_new(struct Analyzer **ret_analyzer) {
        _cleanup_analyzer_ struct Analyzer *analyzer = calloc(1, sizeof *analyzer);

        if (!analyzer)
                return -ENOMEM;
        analyzer->english = sb_stemmer_new("english", "UTF_8");
        if (!analyzer->english)
                return -ENOMEM;
        *ret_analyzer = STEAL(analyzer);
        return 0;
}

struct Analyzer *analyzer_free(struct Analyzer *analyzer) {
        if (!analyzer)
                return NULL;
        if (analyzer->english)
                sb_stemmer_delete(analyzer->english);
        free(analyzer);
        return NULL;
}

/* Terms. */

static int hand_out(const struct Run *run, const char *term, size_t size) {
        if (size > TERM_SIZE_MAX) {
                size = TERM_SIZE_MAX;
                while (size > 0 && ((unsigned char) term[size] & 0xc0) == 0x80)
                        size--;
        }
        return run->sink(run->userdata, term, size, run->start, run->end);
}

static bool is_letter(char c) {
        return c >= 'a' && c <= 'z';
}

static bool is_lower(const char *word, size_t size) {
        for (size_t i = 0; i < size; i++)
                if (!is_letter(word[i]))
                        return false;
        return true;
}

static size_t hash(const char *word, size_t size) {
        uint32_t value = 2166136261; /* FNV-1a */

        for (size_t i = 0; i < size; i++)
                value = (value ^ (unsigned char) word[i]) * 16777619;
        return value;
}

void wanted_terms_add(struct WantedTerms *wanted, const char *term, size_t size) {
        if (size > 0 && is_letter(term[0]))
                wanted->seconds[term[0] - 'a'] |= size > 1 && is_letter(term[1])
                        ? UINT32_C(1) << (term[1] - 'a')
                        : UINT32_MAX;
}

/* A stem begins with the two letters of its word, if it has two; but there is "die" of "dying". */
static bool may_be_wanted(const struct WantedTerms *wanted, const char *word) {
        return !is_letter(word[0]) || !is_letter(word[1]) || word[1] == 'y' ||
                wanted->seconds[word[0] - 'a'] >> (word[1] - 'a') & 1;
}

/* A word in lower case. */
static int hand_out_word(const struct Run *run, const char *word, size_t size) {
        struct Stem *known;
        const sb_symbol *stem;

        if (size < STEM_WORD_MIN || size > STEM_WORD_MAX ||
                (run->wanted && !may_be_wanted(run->wanted, word)) || !is_lower(word, size))
                return hand_out(run, word, size);
        known = &run->analyzer->stems[hash(word, size) % STEMS];
        if (known->word_size != size || memcmp(known->word, word, size) != 0) {
                stem = sb_stemmer_stem(
                        run->analyzer->english, (const sb_symbol *) word, (int) size);
                if (!stem)
                        return -ENOMEM;
                known->stem_size = (uint8_t) sb_stemmer_length(run->analyzer->english);
                if (known->stem_size == 0 || known->stem_size > STEM_WORD_MAX) {
                        known->word_size = 0;
                        return hand_out(run, word, size);
                }
                memcpy(known->stem, stem, known->stem_size);
                memcpy(known->word, word, size);
                known->word_size = (uint8_t) size;
        }
        return hand_out(run, known->stem, known->stem_size);
}

/* Characters. */

/* A table, as nearly all that is asked of a text is this. */
enum {
        ASCII_WORD = 1,
        ASCII_JOINT = 2,
};

static const uint8_t ascii_classes[256] = {
        ['a' ... 'z'] = ASCII_WORD,
        ['A' ... 'Z'] = ASCII_WORD,
        ['0' ... '9'] = ASCII_WORD,
        ['_'] = ASCII_JOINT,
        ['.'] = ASCII_JOINT,
        ['-'] = ASCII_JOINT,
};

static bool is_ascii_word(unsigned char c) {
        return ascii_classes[c] == ASCII_WORD;
}

static bool is_joint(unsigned char c) {
        return ascii_classes[c] == ASCII_JOINT;
}

/* Format characters say how a word is written (soft hyphen, joiners, marks of direction), all but
 * one that says where it ends. */
static bool is_ignored(uint32_t c) {
        return c != 0x200b && uc_is_general_category(c, UC_CATEGORY_Cf);
}

static bool is_word(uint32_t c) {
        if (c < 0x80)
                return is_ascii_word((unsigned char) c);
        return uc_is_general_category_withtable(
                       c, UC_CATEGORY_MASK_L | UC_CATEGORY_MASK_M | UC_CATEGORY_MASK_N) ||
                is_ignored(c);
}

static bool is_han(uint32_t c) {
        return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) ||
                (c >= 0xf900 && c <= 0xfaff) || (c >= 0x20000 && c <= 0x3ffff) || c == 0x3005;
}

static bool is_hangul(uint32_t c) {
        return c >= 0xac00 && c <= 0xd7a3;
}

/* Written without spaces between words, or with particles that belong to none. */
static bool is_unspaced(uint32_t c) {
        return is_han(c) || (c >= 0x3040 && c <= 0x30ff) || (c >= 0x31f0 && c <= 0x31ff) ||
                is_hangul(c) || (c >= 0x0e00 && c <= 0x0eff) || (c >= 0x1780 && c <= 0x17ff) ||
                (c >= 0x1000 && c <= 0x109f);
}

/* A sign on the character before it, which makes no character of its own. */
static bool is_mark(uint32_t c) {
        return uc_is_general_category_withtable(c, UC_CATEGORY_MASK_M);
}

/* Marks without which a word is the same word to who looks for it; the last ones choose among the
 * forms of an ideograph or an emoji. */
static bool is_dispensable(uint32_t c) {
        return (c >= 0x0300 && c <= 0x036f) || (c >= 0x0591 && c <= 0x05c7) || c == 0x0640 ||
                (c >= 0x064b && c <= 0x065f) || c == 0x0670 || (c >= 0x06d6 && c <= 0x06ed) ||
                (c >= 0xfe00 && c <= 0xfe0f) || c == 0x20e3 || (c >= 0xe0100 && c <= 0xe01ef);
}

/* Letters that are written as others where a keyboard or a habit has them not, and that no
 * decomposition knows. 0: as it is. */
static uint32_t plain_letter(uint32_t c) {
        switch (c) {
        case 0x00f0: /* ð */
        case 0x0111: /* đ */
                return 'd';
        case 0x00f8: /* ø */
                return 'o';
        case 0x0127: /* ħ */
                return 'h';
        case 0x0131: /* ı */
                return 'i';
        case 0x0142: /* ł */
                return 'l';
        case 0x0629: /* ة */
                return 0x0647;
        case 0x0649: /* ى */
        case 0x06cc: /* ی, Persian and Urdu */
                return 0x064a;
        case 0x06a9: /* ک */
                return 0x0643;
        default:
                return c;
        }
}

/* Words. */

static size_t find_joint(const char *text, size_t size, size_t at) {
        while (at < size && !is_joint((unsigned char) text[at]))
                at++;
        return at;
}

/* What a term has of it; its size. */
static size_t to_lower(const char *text, size_t size, char buffer[static TERM_SIZE_MAX]) {
        size_t n = size < TERM_SIZE_MAX ? size : TERM_SIZE_MAX;

        for (size_t i = 0; i < n; i++)
                buffer[i] = (char) (text[i] >= 'A' && text[i] <= 'Z' ? text[i] + 32 : text[i]);
        return n;
}

/* a to z, 0 to 9, joints with such on both sides, and maybe signs behind it. */
static int take_ascii(const struct Run *run, const char *text, size_t size) {
        char buffer[TERM_SIZE_MAX];
        size_t end, whole = size;
        int r = 0;

        while (strchr("#+", text[size - 1]))
                size--;
        if (size < whole)
                r = hand_out(run, buffer, to_lower(text, whole, buffer));
        end = find_joint(text, size, 0);
        if (r == 0 && end < size)
                r = hand_out(run, buffer, to_lower(text, size, buffer));
        for (size_t from = 0; r == 0; from = end + 1, end = find_joint(text, size, from)) {
                r = hand_out_word(run, buffer, to_lower(text + from, end - from, buffer));
                if (end == size)
                        break;
        }
        return r;
}

/* A word as its characters come, of which there may be any number. Where characters are taken two
 * by two, the one before, which is handed out already, and the last one with its marks. */
struct Word {
        char text[2 * (TERM_SIZE_MAX + 3)]; /* each until there is enough for a term */
        size_t before, size;
        bool unspaced;
        bool single; /* the last one may be a word of its own */
};

/* Characters two by two, and one by one those that may be words and that which is `alone`. A word
 * of a spaced script is all one here. */
static int end_character(const struct Run *run, struct Word *word, bool alone) {
        size_t size = word->size - word->before;
        int r = 0;

        if (word->before > 0)
                r = hand_out_word(run, word->text, word->size);
        if (r == 0 && (alone || (word->single && run->purpose == ANALYZE_INDEX)))
                r = hand_out_word(run, word->text + word->before, size);
        memmove(word->text, word->text + word->before, size);
        word->before = word->size = size;
        return r;
}

static int end_word(const struct Run *run, struct Word *word) {
        int r = word->size > 0 ? end_character(run, word, word->before == 0) : 0;

        word->before = word->size = 0;
        return r;
}

/* A folded one. Joints are between words, and what is no word in the long form of a character that
 * is one ("(1)" of U+2474). */
static int take_character(const struct Run *run, struct Word *word, uint32_t c) {
        int r = 0;

        if (!is_word(c))
                return end_word(run, word);
        if (word->size > 0 && !is_mark(c)) {
                if (is_unspaced(c) != word->unspaced)
                        r = end_word(run, word);
                else if (word->unspaced)
                        r = end_character(run, word, false);
        }
        if (word->size == 0)
                word->unspaced = is_unspaced(c);
        /* A noun of one syllable has its particle behind it. */
        if (word->size == word->before)
                word->single = is_han(c) || (is_hangul(c) && word->before == 0);
        if (word->size - word->before < TERM_SIZE_MAX)
                word->size += utf8_encode(c, word->text + word->size);
        return r;
}

/* In place; the new length. Composed again at the end: Hangul and the voiced Kana are characters.
 */
static size_t strip(uint32_t *c, size_t n) {
        size_t kept = 0;

        for (size_t i = 0; i < n; i++)
                if (!is_dispensable(c[i]) && !is_ignored(c[i]))
                        c[kept++] = plain_letter(c[i]);
        return kept;
}

static int take_piece(
        const struct Run *run, struct Word *word, const uint32_t *characters, size_t n) {
        _cleanup_free_ uint32_t *folded = NULL, *composed = NULL;
        size_t n_folded, n_composed;
        int r = 0;

        folded = u32_casefold(characters, n, NULL, UNINORM_NFKD, NULL, &n_folded);
        if (!folded)
                return -ENOMEM;
        n_folded = strip(folded, n_folded);
        if (n_folded == 0)
                return 0;
        composed = u32_normalize(UNINORM_NFC, folded, n_folded, NULL, &n_composed);
        if (!composed)
                return -ENOMEM;
        for (size_t i = 0; r == 0 && i < n_composed; i++) {
                uint32_t c = composed[i];

                if (c == 0x00e6 || c == 0x0153) { /* æ, œ */
                        r = take_character(run, word, c == 0x00e6 ? 'a' : 'o');
                        c = 'e';
                }
                if (r == 0)
                        r = take_character(run, word, c);
        }
        return r;
}

/* Whether it has nothing to do with what stands before it, in order or composition. Characters that
 * compose with one before and are no marks are those of Jamo (vowels, finals) and of Kirat Rai. */
static bool starts_piece(uint32_t c) {
        ucs4_t parts[UC_DECOMPOSITION_MAX_LENGTH];
        int tag;

        while (uc_decomposition(c, &tag, parts) > 0)
                c = parts[0];
        return !is_mark(c) && !is_dispensable(c) && !is_ignored(c) &&
                !(c >= 0x1160 && c <= 0x11ff) && c != 0x16d67;
}

/* Valid UTF-8, folded by pieces: what stands here between two spaces may be a whole file, and 18
 * times as many characters when folded. */
static int take_other(const struct Run *run, const char *text, size_t size) {
        uint32_t characters[PIECE_MAX];
        struct Word word = { .size = 0 };
        size_t n = 0;
        int r = 0;

        for (size_t at = 0; r == 0 && at < size;) {
                uint32_t c;

                at += utf8_decode(text + at, size - at, &c);
                if (n == PIECE_MAX || (n >= PIECE && starts_piece(c))) {
                        r = take_piece(run, &word, characters, n);
                        n = 0;
                }
                characters[n++] = c;
        }
        if (r == 0)
                r = take_piece(run, &word, characters, n);
        return r == 0 ? end_word(run, &word) : r;
}

/* Of what tells C++ and C# from C. */
static size_t sign_size(const char *text, size_t size) {
        size_t n = size > 0 && text[0] == '#'                  ? 1
                : size > 1 && text[0] == '+' && text[1] == '+' ? 2
                                                               : 0;

        return n == size || !(is_ascii_word((unsigned char) text[n]) || text[n] == text[0]) ? n : 0;
}

/* The end of the word that starts at `at`; *ret_ascii: there is nothing but ASCII in it. */
static size_t find_end(const char *text, size_t size, size_t at, bool *ret_ascii) {
        const size_t start = at;
        uint32_t last = 0; /* that is no ASCII */
        bool ascii = true;

        while (at < size) {
                unsigned char c = (unsigned char) text[at];
                uint32_t character;
                size_t length;

                if (is_ascii_word(c)) {
                        /* Which is no word of theirs, and may have joints. */
                        if (is_unspaced(last))
                                break;
                        last = 0;
                        at++;
                        continue;
                }
                if (c < 0x80) {
                        if (!ascii || !is_joint(c) || at + 1 == size ||
                                !is_ascii_word((unsigned char) text[at + 1]))
                                break;
                        at++;
                        continue;
                }
                length = utf8_decode(text + at, size - at, &character);
                if (length == 0 || !is_word(character) ||
                        (ascii && at > start && is_unspaced(character)))
                        break;
                ascii = false;
                last = character;
                at += length;
        }
        *ret_ascii = ascii;
        return at +
                (ascii && is_letter((char) (text[at - 1] | 0x20)) ? sign_size(text + at, size - at)
                                                                  : 0);
}

static int run_over(struct Run *run, const char *text, size_t size) {
        int r = 0;

        for (size_t at = 0; r == 0 && at < size;) {
                uint32_t character = (unsigned char) text[at];
                size_t length =
                        character < 0x80 ? 1 : utf8_decode(text + at, size - at, &character);
                bool ascii;

                if (length == 0 || !is_word(character)) {
                        at += length > 0 ? length : 1;
                        continue;
                }
                run->start = at;
                run->end = at = find_end(text, size, at, &ascii);
                r = ascii ? take_ascii(run, text + run->start, run->end - run->start)
                          : take_other(run, text + run->start, run->end - run->start);
        }
        return r;
}

int analyze(struct Analyzer *analyzer, enum AnalyzerPurpose purpose, const char *text, size_t size,
        AnalyzerSink sink, void *userdata) {
        struct Run run = {
                .analyzer = analyzer, .purpose = purpose, .sink = sink, .userdata = userdata
        };

        return run_over(&run, text, size);
}

int analyze_for(struct Analyzer *analyzer, const struct WantedTerms *wanted, const char *text,
        size_t size, AnalyzerSink sink, void *userdata) {
        struct Run run = {
                .analyzer = analyzer,
                .purpose = ANALYZE_INDEX,
                .wanted = wanted,
                .sink = sink,
                .userdata = userdata,
        };

        return run_over(&run, text, size);
}
