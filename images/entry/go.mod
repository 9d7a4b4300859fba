module headrace.io/entry

go 1.21
