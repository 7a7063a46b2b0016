// Catch2 2 (Debian 12) and 3 (Ubuntu 24.04) keep their headers in different places; tests include this one.
#pragma once

// torch's logging header defines a CHECK of its own, which ends the process; it must come first and go.
#if __has_include(<c10/util/Logging.h>)
#include <c10/util/Logging.h>
#undef CHECK
#endif

#if CHORALE_CATCH_MAJOR >= 3
#include <catch2/catch_all.hpp>
using Catch::Approx;  // NOLINT(misc-unused-using-decls)
#else
#include <catch2/catch.hpp>
#endif
