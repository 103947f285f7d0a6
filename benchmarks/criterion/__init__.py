"""Which criterion chooses well among trained candidates, by people's labels of questions nobody asked?"""
