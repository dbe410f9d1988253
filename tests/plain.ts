// What commands print is compared: plain, also where whoever runs the tests has colours forced.
delete process.env["FORCE_COLOR"];
process.env["NO_COLOR"] = "1";
