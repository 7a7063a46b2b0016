// Catch2 2 (Debian 12) and 3 (Ubuntu 24.04) keep their headers in different places; tests include this one.
#pragma once

#if CHORALE_CATCH_MAJOR >= 3
#include <catch2/catch_all.hpp>
using Catch::Approx;  // NOLINT(misc-unused-using-decls)
#else
#include <catch2/catch.hpp>
#endif
