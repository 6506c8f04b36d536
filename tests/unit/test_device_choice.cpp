/* Ranks, GPUs and launchers of a node as plugin/device_choice.h knows them, without any of them. */
#include "../../plugin/device_choice.h"
#include "check.h"

#include <map>
#include <string>
#include <vector>

using namespace UmasDevices;

namespace {

using Environment = std::map<std::string, std::string>;

struct Rank {
    int lammps;                     /* of several in the job */
    std::vector<std::string> cards; /* that are visible to the rank */
    Environment environment;
};

Environment environment; /* of the rank that asks */

const char *variable(const char *name) {
    const auto found = environment.find(name);
    return found == environment.end() ? nullptr : found->second.c_str();
}

Launched ask(const Environment &rank) {
    environment = rank;
    return launched(variable);
}

/* What each rank of a job on one node takes, as "card/sharing"; number: of the deck, -1 for
 * auto. */
std::vector<std::string> take(const std::vector<Rank> &job, int number = -1) {
    std::vector<std::string> taken;
    for (size_t r = 0; r < job.size(); r++) {
        Node node{0, {}, int(r), int(job.size()), 0};
        std::vector<size_t> members;
        for (size_t other = 0; other < job.size(); other++) {
            if (job[other].lammps != job[r].lammps) continue;
            if (other == r) node.me = int(members.size());
            members.push_back(other);
            node.places.push_back(ask(job[other].environment));
        }
        node.lammps_ranks = int(members.size());
        std::vector<Chosen> chosen;
        for (size_t m = 0; m < members.size(); m++) {
            Node seen = node;
            seen.me = int(m);
            seen.job_rank = int(members[m]);
            const auto &cards = job[members[m]].cards;
            const int gpus = int(cards.size());
            const int gpu = number < 0 ? choose(place_on_node(seen), gpus) : number;
            chosen.push_back({gpu, cards[gpu]});
        }
        const int ranks =
            sharing(chosen, node.me, number < 0, place_on_node(node), int(job[r].cards.size()));
        taken.push_back(chosen[node.me].card + "/" + std::to_string(ranks));
    }
    return taken;
}

Environment mpich(int rank, int ranks) {
    return {{"MPI_LOCALRANKID", std::to_string(rank)}, {"MPI_LOCALNRANKS", std::to_string(ranks)}};
}

Environment slurm(int rank, const char *ranks) {
    return {{"SLURM_LOCALID", std::to_string(rank)},
            {"SLURM_STEP_TASKS_PER_NODE", ranks},
            {"SLURM_NODEID", "0"}};
}

using Cards = std::vector<std::string>;
using Taken = std::vector<std::string>;
const Cards FOUR = {"A", "B", "C", "D"}, TWO = {"A", "B"}, ONE = {"A"};

void test_one_lammps() {
    std::vector<Rank> job(4);
    for (int r = 0; r < 4; r++) job[r] = {0, FOUR, mpich(r, 4)};
    CHECK((take(job) == Taken{"A/1", "B/1", "C/1", "D/1"}));
    for (Rank &rank : job) rank.cards = ONE;
    CHECK((take(job) == Taken(4, "A/4")));
    job.push_back({0, FOUR, {}});
    for (Rank &rank : job) rank.cards = TWO;
    for (int r = 0; r < 5; r++) job[r].environment = mpich(r, 5);
    CHECK((take(job) == Taken{"A/3", "B/2", "A/3", "B/2", "A/3"}));
    for (Rank &rank : job) rank.environment.clear();
    CHECK((take(job) == Taken{"A/3", "B/2", "A/3", "B/2", "A/3"}));
    CHECK((take(job, 1) == Taken(5, "B/5")));
}

void test_several_lammps() {
    std::vector<Rank> job(4);
    for (int r = 0; r < 4; r++) job[r] = {r, FOUR, mpich(r, 4)};
    CHECK((take(job) == Taken{"A/1", "B/1", "C/1", "D/1"}));
    for (int r = 0; r < 4; r++) job[r].environment = slurm(r, "4(x2),3");
    CHECK((take(job) == Taken{"A/1", "B/1", "C/1", "D/1"}));
    for (Rank &rank : job) rank.environment.clear();
    CHECK((take(job) == Taken{"A/1", "B/1", "C/1", "D/1"}));
    for (int r = 0; r < 4; r++) job[r] = {r / 2, TWO, mpich(r, 4)};
    CHECK((take(job) == Taken{"A/2", "B/2", "A/2", "B/2"}));
    for (int r = 0; r < 4; r++) job[r] = {r % 2, TWO, mpich(r, 4)};
    CHECK((take(job) == Taken{"A/2", "B/2", "A/2", "B/2"}));
}

void test_cards_of_ones_own() {
    std::vector<Rank> job(4);
    for (int r = 0; r < 4; r++) job[r] = {0, {FOUR[r]}, slurm(r, "4")};
    CHECK((take(job) == Taken{"A/1", "B/1", "C/1", "D/1"}));
    CHECK((take(job, 0) == Taken{"A/1", "B/1", "C/1", "D/1"}));
    for (int r = 0; r < 4; r++) job[r].lammps = r / 2;
    CHECK((take(job) == Taken{"A/1", "B/1", "C/1", "D/1"}));
    /* a rank alone cannot know that the other cards are others, unless the deck says so */
    for (int r = 0; r < 4; r++) job[r].lammps = r;
    CHECK((take(job) == Taken{"A/4", "B/4", "C/4", "D/4"}));
    CHECK((take(job, 0) == Taken{"A/1", "B/1", "C/1", "D/1"}));
}

void test_variables_of_another_launcher() {
    std::vector<Rank> job(4);
    for (int r = 0; r < 4; r++) job[r] = {0, FOUR, {{"SLURM_LOCALID", "0"}}};
    CHECK((take(job) == Taken{"A/1", "B/1", "C/1", "D/1"}));
    for (int r = 0; r < 4; r++) {
        job[r] = {r, FOUR, mpich(r, 4)};
        job[r].environment["SLURM_LOCALID"] = "0";
    }
    CHECK((take(job) == Taken{"A/1", "B/1", "C/1", "D/1"}));
    for (int r = 0; r < 2; r++) job[r] = {0, FOUR, mpich(3 + 2 * r, 4)};
    job.resize(2);
    CHECK((take(job) == Taken{"A/1", "B/1"}));
}

void test_launchers() {
    const char *const names[][2] = {
        {"OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"},
        {"MPI_LOCALRANKID", "MPI_LOCALNRANKS"},
        {"MV2_COMM_WORLD_LOCAL_RANK", "MV2_COMM_WORLD_LOCAL_SIZE"},
        {"PMI_LOCAL_RANK", "PMI_LOCAL_SIZE"},
        {"PALS_LOCAL_RANKID", "PALS_LOCAL_SIZE"},
        {"MPT_LRANK", nullptr},
        {"FLUX_TASK_LOCAL_ID", nullptr},
        {"SLURM_LOCALID", nullptr},
    };
    for (const auto &name : names) {
        Launched found = ask({{name[0], "2"}});
        CHECK(found.rank == 2 && found.ranks == -1);
        if (!name[1]) continue;
        found = ask({{name[0], "2"}, {name[1], "8"}});
        CHECK(found.rank == 2 && found.ranks == 8);
    }
    for (const char *wrong : {"", "-1", "first", "99999999999"})
        CHECK(ask({{"MPI_LOCALRANKID", wrong}}).rank == -1);
    CHECK(ask({}).rank == -1 && ask({}).ranks == -1);

    const std::map<std::string, std::vector<int>> lists = {
        {"4", {4, -1}},
        {"4(x2),3", {4, 4, 3, -1}},
        {"1,2(x2),16", {1, 2, 2, 16, -1}},
        {"4(x,3", {-1, -1}},
        {"four", {-1}},
        {"", {-1}},
    };
    for (const auto &[list, ranks] : lists)
        for (size_t node = 0; node < ranks.size(); node++) {
            Environment rank = slurm(0, list.c_str());
            rank["SLURM_NODEID"] = std::to_string(node);
            CHECK(ask(rank).ranks == ranks[node]);
        }
}

void test_without_gpus() {
    CHECK(choose({0, 1}, 0) == -1);
    CHECK(sharing({{-1, ""}, {-1, ""}}, 0, true, {0, 2}, 0) == 2);
}

} // namespace

int main() {
    test_one_lammps();
    test_several_lammps();
    test_cards_of_ones_own();
    test_variables_of_another_launcher();
    test_launchers();
    test_without_gpus();
    return check_report();
}
