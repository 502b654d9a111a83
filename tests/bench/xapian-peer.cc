/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * xapian-peer index DIRECTORY: the texts of the standard input, a NUL behind each, become the
 * documents of a new database: stemmed English, BM25's statistics, no positions.
 *
 * xapian-peer query DIRECTORY TOP_K: asks for the prompts of the standard input, one a line: any of
 * their words, by BM25. Every tenth is asked beforehand, so that what a process keeps in memory is
 * there; prints the milliseconds of each.
 */

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <string>
#include <vector>

#include <xapian.h>

static const size_t warm_step = 10;

/* The terms of a text, for documents and prompts alike. */
static Xapian::Document terms_of(const std::string &text) {
        static const Xapian::Stem stemmer("english");
        Xapian::TermGenerator generator;
        Xapian::Document document;

        generator.set_stemmer(stemmer);
        generator.set_stemming_strategy(Xapian::TermGenerator::STEM_ALL);
        generator.set_document(document);
        generator.index_text_without_positions(text);
        return document;
}

static void make_index(const char *directory) {
        Xapian::WritableDatabase database(directory, Xapian::DB_CREATE);
        std::string text;

        while (std::getline(std::cin, text, '\0'))
                database.add_document(terms_of(text));
        database.commit();
}

static double ask(
        const Xapian::Database &database, const Xapian::Query &query, Xapian::doccount top_k) {
        auto before = std::chrono::steady_clock::now();
        Xapian::Enquire enquire(database);

        enquire.set_query(query);
        Xapian::MSet found = enquire.get_mset(0, top_k);
        std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - before;
        return found.size() > 0 ? took.count() : 0;
}

static void ask_all(const char *directory, Xapian::doccount top_k) {
        Xapian::Database database(directory);
        std::vector<Xapian::Query> queries;
        std::string prompt;

        while (std::getline(std::cin, prompt)) {
                Xapian::Document document = terms_of(prompt);
                queries.emplace_back(
                        Xapian::Query::OP_OR, document.termlist_begin(), document.termlist_end());
        }
        for (size_t i = 0; i < queries.size(); i += warm_step)
                ask(database, queries[i], top_k);
        for (const Xapian::Query &query : queries)
                std::cout << ask(database, query, top_k) << '\n';
}

int main(int argc, char **argv) {
        try {
                if (argc == 3 && strcmp(argv[1], "index") == 0)
                        make_index(argv[2]);
                else if (argc == 4 && strcmp(argv[1], "query") == 0)
                        ask_all(argv[2], static_cast<Xapian::doccount>(atoi(argv[3])));
                else
                        throw Xapian::InvalidArgumentError(
                                "Usage: xapian-peer index DIRECTORY | query DIRECTORY TOP_K");
        } catch (const Xapian::Error &error) {
                std::cerr << "xapian-peer: " << error.get_msg() << '\n';
                return EXIT_FAILURE;
        }
        return EXIT_SUCCESS;
}
