/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A socket path that is no UTF-8 is used as it is. One that begins with @ is the name of an abstract socket. The empty one is
 * EINVAL. The status shows all of them as valid JSON.
 */
/* tsan: yes (the library's front-end and back-end are in two threads) */
#include "pair.h"

#define UNREADABLE "so\xff\xfe\"cket\n"

static void *serve(void *user_data)
{
    vhushmem_backend *backend = user_data;
    PUMP_BACKEND_UNTIL(backend, vhushmem_backend_is_negotiated(backend));
    return NULL;
}

/* One side listens, the other connects. */
static void meets_at(const char *path, bool front_end_listens, const char *shown)
{
    vhushmem_frontend_options options = {.struct_size = sizeof(options),
                                         .flags = front_end_listens ? VHUSHMEM_FRONTEND_SERVER : 0};
    vhushmem_frontend *frontend = some(vhushmem_frontend_new(path, &options, &error));
    vhushmem_backend *backend = some(vhushmem_backend_new(NULL, &error));
    pthread_t thread;
    ok(vhushmem_backend_add_region(backend, 0, 16 * PAGE, &error));
    if (front_end_listens) {
        ok(vhushmem_frontend_start(frontend, &error));
        ok(vhushmem_backend_connect(backend, path, &error));
    } else {
        ok(vhushmem_backend_listen(backend, path, &error));
        ok(vhushmem_frontend_start(frontend, &error));
    }
    CHECK(pthread_create(&thread, NULL, serve, backend) == 0);
    PUMP_FRONTEND_UNTIL(frontend, vhushmem_frontend_is_ready(frontend));
    pthread_join(thread, NULL);
    char *json = vhushmem_status_json(frontend);
    CHECK(g_utf8_validate(json, -1, NULL));
    if (strstr(json, shown) == NULL) {
        FAIL("the status lacks %s: %s", shown, json);
    }
    g_free(json);
    vhushmem_frontend_free(frontend);
    vhushmem_backend_free(backend);
}

static bool abstract_is_there(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(name);
    memcpy(address.sun_path + 1, name, length);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool is_there =
        connect(fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length)) == 0;
    close(fd);
    return is_there;
}

static int64_t new_frontend(const char *path)
{
    vhushmem_frontend *frontend = vhushmem_frontend_new(path, NULL, &error);
    int64_t result = errno_of_null(frontend);
    vhushmem_frontend_free(frontend);
    return result;
}

int main(void)
{
    char *directory = new_directory();
    char *path = g_strdup_printf("%s/%s", directory, UNREADABLE), abstract[64], longest[120];
    struct stat status;
    snprintf(abstract, sizeof(abstract), "@vhushmem-test-%d", (int)getpid());
    CHECK(chdir(directory) == 0);
    for (int front_end_listens = 0; front_end_listens < 2; front_end_listens++) {
        meets_at(path, front_end_listens, "/so\xef\xbf\xbd\xef\xbf\xbd\\\"cket\\u000a\"");
        CHECK(stat(path, &status) < 0 && errno == ENOENT); /* its file has gone with it */
        meets_at(abstract, front_end_listens, abstract);
        CHECK(stat(abstract, &status) < 0 && errno == ENOENT);
        meets_at("@\xff\x01", front_end_listens, "\"@\xef\xbf\xbd\\u0001\"");
        meets_at("./@file", front_end_listens, "\"./@file\"");
    }

    /* The file of a path has exactly these bytes, and the abstract name exactly those after the @. */
    vhushmem_backend *backend = some(vhushmem_backend_new(NULL, &error));
    ok(vhushmem_backend_listen(backend, path, &error));
    CHECK(lstat(path, &status) == 0 && S_ISSOCK(status.st_mode));
    vhushmem_backend_free(backend);
    backend = some(vhushmem_backend_new(NULL, &error));
    ok(vhushmem_backend_listen(backend, abstract, &error));
    CHECK(abstract_is_there(abstract + 1));
    vhushmem_backend *second = some(vhushmem_backend_new(NULL, &error));
    refused(vhushmem_backend_listen(second, abstract, &error), -EADDRINUSE, abstract);
    vhushmem_backend_free(second);
    CHECK(abstract_is_there(abstract + 1));
    vhushmem_backend_free(backend);
    CHECK(!abstract_is_there(abstract + 1));

    /* Paths that name nothing, and too long ones: a path needs a last 0, an abstract name does not. */
    backend = some(vhushmem_backend_new(NULL, &error));
    refused(vhushmem_backend_listen(backend, "", &error), -EINVAL);
    refused(vhushmem_backend_connect(backend, "", &error), -EINVAL);
    refused(vhushmem_backend_listen(backend, "@", &error), -EINVAL);
    refused(vhushmem_backend_connect(backend, "@nobody-listens-there", &error), -ECONNREFUSED, "@nobody");
    refused(new_frontend(""), -EINVAL);
    refused(new_frontend("@"), -EINVAL);
    memset(longest, 'x', sizeof(longest));
    longest[0] = '@';
    longest[108] = 0;
    ok(vhushmem_backend_listen(backend, longest, &error));
    CHECK(abstract_is_there(longest + 1));
    vhushmem_backend_free(backend);
    longest[108] = 'x';
    longest[109] = 0;
    refused(new_frontend(longest), -ENAMETOOLONG);

    /* A given socket has no path to listen at. */
    int pair[2];
    vhushmem_frontend_options server = {.struct_size = sizeof(server), .flags = VHUSHMEM_FRONTEND_SERVER};
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    refused(errno_of_null(vhushmem_frontend_new_fd(pair[0], &server, &error)), -EINVAL, "path");
    close(pair[0]);
    close(pair[1]);
    g_free(path);
    remove_directory(directory);
    return 0;
}
