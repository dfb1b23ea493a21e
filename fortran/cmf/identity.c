/* Where the events of this process go, and of which execution they are. */
#include "internal.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* The rank of this process in its MPI job, as launchers say it. */
static const char *const rank_variables[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK",
                                             "SLURM_PROCID"};
/* What only the processes of one MPI job have alike. */
static const char *const job_variables[] = {"PMIX_NAMESPACE",       "OMPI_MCA_ess_base_jobid",
                                            "OMPI_MCA_orte_hnp_uri", "PALS_APID",
                                            "PMI_JOBID",            "FLUX_JOB_ID",
                                            "SLURM_STEP_ID"};
#define COUNT(array) (sizeof(array) / sizeof *(array))

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && *value != '\0' ? value : NULL;
}

bool is_file_name(const char *name)
{
    if (!isalnum((unsigned char)*name) && *name != '_')
        return false;
    for (; *name != '\0'; name++)
        if ((unsigned char)*name >= 0x80 ||
            (!isalnum((unsigned char)*name) && strchr("_.-", *name) == NULL))
            return false;
    return true;
}

bool absolute_path(char to[LONGEST_PATH], const char *path)
{
    char whole[2 * LONGEST_PATH] = "";
    if (strlen(path) >= LONGEST_PATH)
        return false;
    if (*path != '/' && getcwd(whole, LONGEST_PATH) == NULL)
        return false;
    strcat(strcat(whole, "/"), path);
    size_t length = 0;
    for (const char *word = whole; *word != '\0';) {
        word += strspn(word, "/");
        size_t letters = strcspn(word, "/");
        if (letters == 2 && strncmp(word, "..", 2) == 0) {
            while (length > 0 && to[--length] != '/')
                continue;
        } else if (letters > 0 && !(letters == 1 && *word == '.')) {
            if (length + letters + 2 > LONGEST_PATH)
                return false;
            to[length++] = '/';
            memcpy(to + length, word, letters);
            length += letters;
        }
        word += letters;
    }
    if (length == 0)
        to[length++] = '/';
    to[length] = '\0';
    return true;
}

static long find_rank(void)
{
    for (size_t i = 0; i < COUNT(rank_variables); i++) {
        const char *value = variable(rank_variables[i]);
        char *end;
        if (value == NULL)
            continue;
        long rank = strtol(value, &end, 10);
        if (*end == '\0' && rank >= 0)
            return rank;
    }
    return -1;
}

static void add_text(struct sha256 *sha, const char *text)
{
    sha256_add(sha, text, strlen(text) + 1);
}

/* When the process that started this one began, in ticks since the machine did. */
static void add_parent(struct sha256 *sha)
{
    char path[64], host[256] = "", text[1024] = "";
    snprintf(path, sizeof path, "/proc/%ld/stat", (long)getppid());
    add_text(sha, path);
    gethostname(host, sizeof host - 1);
    add_text(sha, host);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return;
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    char *field = strrchr(text, ')');
    for (int n = 2; field != NULL && n < 22; n++)
        field = strchr(field + 1, ' ');
    if (field != NULL)
        sha256_add(sha, field, 1 + strcspn(field + 1, " "));
}

static void add_moment(struct sha256 *sha)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    char text[300] = "", host[256] = "";
    gethostname(host, sizeof host - 1);
    snprintf(text, sizeof text, "%s %ld %lld.%ld", host, (long)getpid(), (long long)now.tv_sec,
             now.tv_nsec);
    add_text(sha, text);
}

/* <name>-<8 hexadecimal digits>: alike for the ranks of a job, unlike any other. */
static int find_execution(struct identity *identity, const char *pipeline, const char *context,
                          const char *name, unsigned executions)
{
    const char *given = variable("PARSLFLOW_EXECUTION");
    if (given != NULL && variable("PARSLFLOW_JOURNAL") != NULL) {
        if (!is_file_name(given) || strlen(given) >= sizeof identity->execution)
            return say_once(CMF_BAD_NAME,
                            "PARSLFLOW_EXECUTION='%s' cannot be part of a file name, so nothing "
                            "is logged: unset it",
                            given);
        strcpy(identity->execution, given);
        return CMF_OK;
    }
    struct sha256 sha;
    sha256_begin(&sha);
    bool in_job = false;
    for (size_t i = 0; i < COUNT(job_variables); i++) {
        const char *value = variable(job_variables[i]);
        add_text(&sha, value == NULL ? "" : value);
        in_job = in_job || value != NULL;
    }
    if (in_job)
        add_text(&sha, variable("SLURM_JOB_ID") == NULL ? "" : variable("SLURM_JOB_ID"));
    else if (variable("PMI_RANK") != NULL)
        add_parent(&sha); /* MPICH's launcher names no job: the same on each machine only */
    else
        add_moment(&sha);
    add_text(&sha, pipeline);
    add_text(&sha, context);
    add_text(&sha, name);
    sha256_add(&sha, &executions, sizeof executions);
    char digits[65];
    sha256_end(&sha, digits);
    if (strlen(name) + 10 > 200) /* a file system's 255, less the part */
        return say_once(CMF_BAD_NAME, "the execution name '%s' is too long for a file name", name);
    snprintf(identity->execution, sizeof identity->execution, "%s-%.8s", name, digits);
    return CMF_OK;
}

int identity_find(struct identity *identity, const char *mlmd_path, const char *pipeline,
                  const char *context, const char *name, unsigned executions)
{
    const char *journal = variable("PARSLFLOW_JOURNAL");
    char *folder = identity->journal;
    if (!absolute_path(folder, journal == NULL ? mlmd_path : journal))
        return say_once(CMF_NO_JOURNAL, "the path '%s' is too long, so nothing is logged",
                        journal == NULL ? mlmd_path : journal);
    if (journal == NULL) {
        *strrchr(folder, '/') = '\0';
        if (strlen(folder) + sizeof "/journal" > LONGEST_PATH)
            return say_once(CMF_NO_JOURNAL, "the path '%s' is too long, so nothing is logged",
                            mlmd_path);
        strcat(folder, "/journal");
    }
    if (mkdir(folder, 0777) != 0 && errno != EEXIST)
        return say_once(CMF_NO_JOURNAL, "the folder %s cannot be made (%s), so nothing is logged",
                        folder, strerror(errno));
    identity->rank = find_rank();
    if (identity->rank >= 0)
        snprintf(identity->part, sizeof identity->part, "r%ld", identity->rank);
    else
        snprintf(identity->part, sizeof identity->part, "p%ld", (long)getpid());
    return find_execution(identity, pipeline, context, name, executions);
}

const char *identity_path(const struct identity *identity, const char *absolute)
{
    size_t root = (size_t)(strrchr(identity->journal, '/') - identity->journal);
    if (strncmp(absolute, identity->journal, root) == 0 && absolute[root] == '/')
        return absolute + root + 1;
    return absolute;
}

void identity_job(char *to, size_t size)
{
    static const char *const schedulers[][3] = {{"slurm", "SLURM_JOB_ID", "SLURM_STEP_ID"},
                                                {"pbs", "PBS_JOBID", NULL},
                                                {"lsf", "LSB_JOBID", NULL},
                                                {"flux", "FLUX_JOB_ID", NULL},
                                                {"cobalt", "COBALT_JOBID", NULL}};
    for (size_t i = 0; i < COUNT(schedulers); i++) {
        const char *job = variable(schedulers[i][1]);
        const char *step = schedulers[i][2] == NULL ? NULL : variable(schedulers[i][2]);
        if (job != NULL) {
            snprintf(to, size, "%s %s%s%s", schedulers[i][0], job, step == NULL ? "" : ".",
                     step == NULL ? "" : step);
            return;
        }
    }
    *to = '\0';
}
