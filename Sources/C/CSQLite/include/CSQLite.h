#pragma once
#include <sqlite3.h>

// For a process of one thread, before anything else of SQLite: no mutexes, no statistics of memory. SQLITE_OK, or
// SQLite stays as it is.
int csqlite_use_one_thread(void);
